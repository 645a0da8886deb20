#!/usr/bin/env bash
# Start a Slurm of one node on this machine (Debian or Ubuntu, as root), to test the cluster profile without a cluster.
# Installs what is missing; may be run again. No systemd, cgroups or accounting database: finished jobs stay visible
# to squeue for an hour. The node offers one GPU that is none (/dev/null under another name).
set -euo pipefail

MARK="# written by tests/cluster/slurm-up.sh of MNN-H2"
CONF=/etc/slurm/slurm.conf
STATE=/var/lib/slurm
LOG=/var/log/slurm
RUN=/run/slurm
HOST=$(hostname -s)

fail() { echo "slurm-up: $*" >&2; exit 1; }

# running FILE.pid: does a process of the name FILE run under the number in it?
running() { [ "$(cat "/proc/$(cat "$1" 2>/dev/null || echo none)/comm" 2>/dev/null)" = "$(basename "$1" .pid)" ]; }

install_packages() {
    local program missing=
    for program in slurmctld slurmd munged srun; do command -v $program >/dev/null || missing=yes; done
    [ -n "$missing" ] || return 0
    echo "slurm-up: installing Slurm"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge >/dev/null
}

start_munge() {
    install -d -o munge -g munge -m 0755 /run/munge
    install -d -o munge -g munge -m 0700 /etc/munge /var/lib/munge /var/log/munge
    if [ ! -s /etc/munge/munge.key ]; then
        (umask 077 && head -c 1024 /dev/urandom >/etc/munge/munge.key)
        chown munge:munge /etc/munge/munge.key
    fi
    running /run/munge/munged.pid || setpriv --reuid munge --regid munge --clear-groups /usr/sbin/munged
    munge -n | unmunge >/dev/null || fail "munge does not work"
}

configure() {
    mkdir -p "$(dirname $CONF)" $STATE/ctld $STATE/d $LOG $RUN
    getent hosts "$HOST" >/dev/null || echo "127.0.0.1 $HOST" >>/etc/hosts
    [ -e $RUN/gpu0 ] || mknod $RUN/gpu0 c 1 3
    echo "NodeName=$HOST Name=gpu File=$RUN/gpu0" >"$(dirname $CONF)/gres.conf"
    local cpus memory
    cpus=$(getconf _NPROCESSORS_ONLN)
    memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    rm -f $STATE/ctld/clustername
    cat >$CONF <<CONF
$MARK
ClusterName=mnn-h2-test
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=2,bf_interval=5
MinJobAge=3600
InactiveLimit=0
KillWait=10
StateSaveLocation=$STATE/ctld
SlurmdSpoolDir=$STATE/d
SlurmctldPidFile=$RUN/slurmctld.pid
SlurmdPidFile=$RUN/slurmd.pid
SlurmctldLogFile=$LOG/slurmctld.log
SlurmdLogFile=$LOG/slurmd.log
GresTypes=gpu
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=$HOST Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
CONF
}

start_slurm() {
    running $RUN/slurmctld.pid || slurmctld
    running $RUN/slurmd.pid || slurmd
    for _ in $(seq 60); do
        case $(sinfo -h -N -n "$HOST" -o %T 2>/dev/null) in
            idle | mixed | allocated) return ;;
            down* | drain* | inval*) scontrol update NodeName="$HOST" State=RESUME 2>/dev/null || true ;;
        esac
        sleep 0.5
    done
    fail "the node does not come up, see $LOG"
}

[ "$(id -u)" = 0 ] || fail "must run as root"
command -v apt-get >/dev/null || fail "knows Debian and Ubuntu alone"
if [ -e $CONF ] && ! grep -qxF "$MARK" $CONF; then
    fail "$CONF is not of this script: a real cluster's node is left alone"
fi
install_packages
start_munge
configure
start_slurm
srun -n1 --immediate=30 true || fail "srun does not work"
echo "slurm-up: $(sinfo -h -o '%P %c CPUs %m MB %G %T')"
