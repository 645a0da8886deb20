# Data sets: MPI solver jobs write shards, or files of a user's own are cut into them; the checker reads every one of
# them before anything is trained on it.


rule generate:
    output:
        f"{RESULTS}/data/{{data}}/{{split}}/{{start}}-{{stop}}.nc",
    log:
        f"{RESULTS}/logs/generate/{{data}}/{{split}}/{{start}}-{{stop}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/generate/{{data}}/{{split}}/{{start}}-{{stop}}.tsv"
    wildcard_constraints:
        data=named(SolvedData),
    cache: CACHED
    conda:
        "../envs/mnn-h2.yaml"
    threads: STUDY.config.ranks
    resources:
        mpi="mpiexec",
        tasks=STUDY.config.ranks,
        cpus_per_task=1,
        mem_mb=lambda wildcards, attempt: attempt * requests.solver_memory(STUDY.config.ranks),
        runtime=lambda wildcards, attempt: attempt
        * requests.solver_minutes(
            int(wildcards.stop) - int(wildcards.start), STUDY.data[wildcards.data].shape, STUDY.config.ranks
        ),
    # Whatever tells one shard from another is a parameter: a cache between workflows knows shards by these alone.
    params:
        split=lambda wildcards: wildcards.split,
        start=lambda wildcards: int(wildcards.start),
        stop=lambda wildcards: int(wildcards.stop),
        problem=lambda wildcards: as_json(STUDY.data[wildcards.data].problem),
        field=lambda wildcards: as_json(STUDY.data[wildcards.data].field),
        seed=lambda wildcards: STUDY.data[wildcards.data].seed,
        precision=lambda wildcards: STUDY.data[wildcards.data].precision,
        code=lambda wildcards: sources.digest("solvers.generate", *solver(wildcards.data)),
    message:
        "Solving {wildcards.data}, {wildcards.split} samples {wildcards.start} to {wildcards.stop}"
    shell:
        "ulimit -Sd $(({resources.mem_mb} * 1024)); "
        "{resources.mpi} -n {resources.tasks} python -m solvers.generate"
        " --problem {params.problem:q} --field {params.field:q} --seed {params.seed}"
        " --split {params.split} --start {params.start} --stop {params.stop}"
        " --precision {params.precision} --output {output:q} > {log:q} 2>&1"


unrecorded_if_cached("generate")


rule adopt:
    input:
        lambda wildcards: STUDY.data[wildcards.data].path,
    output:
        f"{RESULTS}/data/{{data}}/{{split}}/{{start}}-{{stop}}.nc",
    log:
        f"{RESULTS}/logs/adopt/{{data}}/{{split}}/{{start}}-{{stop}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/adopt/{{data}}/{{split}}/{{start}}-{{stop}}.tsv"
    wildcard_constraints:
        data=named(OwnData),
    conda:
        "../envs/mnn-h2.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        start=lambda wildcards: int(wildcards.start),
        stop=lambda wildcards: int(wildcards.stop),
        options=lambda wildcards: shlex.join(STUDY.data[wildcards.data].options),
        code=sources.digest("solvers.adopt"),
    message:
        "Adopting {wildcards.data}, samples {wildcards.start} to {wildcards.stop} of {input}"
    shell:
        "ulimit -Sd $(({resources.mem_mb} * 1024)); "
        "python -m solvers.adopt {input:q} {params.options}"
        " --start {params.start} --stop {params.stop} --output {output:q} > {log:q} 2>&1"


rule check:
    input:
        f"{RESULTS}/data/{{data}}/{{split}}/{{start}}-{{stop}}.nc",
    output:
        f"{RESULTS}/data/{{data}}/{{split}}/{{start}}-{{stop}}.check.json",
    log:
        f"{RESULTS}/logs/check/{{data}}/{{split}}/{{start}}-{{stop}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/check/{{data}}/{{split}}/{{start}}-{{stop}}.tsv"
    conda:
        "../envs/mnn-h2.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=lambda wildcards: sources.digest("solvers.check", *solver(wildcards.data)),
    message:
        "Checking {wildcards.data}, {wildcards.split} samples {wildcards.start} to {wildcards.stop}"
    shell:
        "python -m solvers.check {input:q} --report {output:q} > {log:q} 2>&1"


# One small file stands for many shards, so that planning a study takes time by its jobs, not by jobs times shards.
rule list_shards:
    input:
        lambda wildcards: checks(wildcards.data, wildcards.split, int(wildcards.number)),
    output:
        f"{RESULTS}/data/{{data}}/{{split}}/first{{number}}.txt",
    log:
        f"{RESULTS}/logs/list_shards/{{data}}/{{split}}/first{{number}}.log",
    wildcard_constraints:
        number=r"\d+",
    localrule: True
    conda:
        "../envs/mnn-h2.yaml"
    params:
        shards=lambda wildcards: shards(wildcards.data, wildcards.split, int(wildcards.number)),
    message:
        "Listing the first {wildcards.number} {wildcards.split} samples of {wildcards.data}"
    shell:
        "printf '%s\\n' {params.shards:q} > {output:q} 2> {log:q}"


rule data:
    input:
        [listed(name, split, data.samples[split]) for name, data in STUDY.data.items() for split in data.samples],
