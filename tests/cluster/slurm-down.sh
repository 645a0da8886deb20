#!/usr/bin/env bash
# Stop the Slurm that slurm-up.sh started: daemons by their pid files, jobs first. The packages stay.
set -euo pipefail

grep -qxF "# written by tests/cluster/slurm-up.sh of MNN-H2" /etc/slurm/slurm.conf 2>/dev/null || exit 0
for job in $(squeue -h -o %A 2>/dev/null); do scancel "$job" || true; done
for file in /run/slurm/slurmd.pid /run/slurm/slurmctld.pid /run/munge/munged.pid; do
    number=$(cat $file 2>/dev/null || true)
    name=$(basename $file .pid)
    # a number may have gone to another process since
    [ -n "$number" ] && [ "$(cat "/proc/$number/comm" 2>/dev/null)" = "$name" ] || continue
    kill "$number"
    for _ in $(seq 100); do [ -d "/proc/$number" ] || break; sleep 0.1; done
    echo "slurm-down: stopped $name"
done
