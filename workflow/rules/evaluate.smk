# Evaluation: errors of every sample on the training and the test set, and the reference lines beside them.


rule evaluate:
    input:
        model=rules.train.output.model,
        train=lambda wildcards: listed(wildcards.data, "train", experiment(wildcards).n_train),
        test=lambda wildcards: listed(wildcards.data, "test", n_test(wildcards)),
        background=lambda wildcards: background(wildcards.data),
    output:
        f"{RESULTS}/errors/{{data}}/{{model}}.nc",
    log:
        f"{RESULTS}/logs/evaluate/{{data}}/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate/{{data}}/{{model}}.tsv"
    conda:
        "../envs/mnn-h2.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * EVALUATE_MB,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        n_train=lambda wildcards: experiment(wildcards).n_train,
        n_test=lambda wildcards: n_test(wildcards),
        background=lambda wildcards, input: background_option(input.background),
        device=STUDY.config.device,
        code=sources.digest("mnn.evaluate"),
    message:
        "Evaluating {wildcards.model} on {wildcards.data}"
    shell:
        "[ {params.device} != cpu ] || ulimit -Sd $(({resources.mem_mb} * 1024)); "
        "python -m mnn.evaluate {input.model:q} --train $(cat {input.train:q}) --n-train {params.n_train}"
        " --test $(cat {input.test:q}) --n-test {params.n_test} {params.background} --output {output:q}"
        " --examples 3 --device {params.device} --threads {threads} > {log:q} 2>&1"


rule baselines:
    input:
        train=lambda wildcards: listed(wildcards.data, "train", int(wildcards.n_train)),
        validation=lambda wildcards: listed(wildcards.data, "validation", samples(wildcards.data, "validation")),
        test=lambda wildcards: listed(wildcards.data, "test", samples(wildcards.data, "test")),
        background=lambda wildcards: background(wildcards.data),
    output:
        f"{RESULTS}/errors/{{data}}/baselines_n{{n_train}}.json",
    log:
        f"{RESULTS}/logs/baselines/{{data}}/n{{n_train}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/baselines/{{data}}/n{{n_train}}.tsv"
    wildcard_constraints:
        n_train=r"\d+",
    conda:
        "../envs/mnn-h2.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * EVALUATE_MB,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        n_validation=lambda wildcards: samples(wildcards.data, "validation"),
        n_test=lambda wildcards: samples(wildcards.data, "test"),
        background=lambda wildcards, input: background_option(input.background),
        code=sources.digest("mnn.baselines"),
    message:
        "Reference lines of {wildcards.data}, {wildcards.n_train} training samples"
    shell:
        "ulimit -Sd $(({resources.mem_mb} * 1024)); "
        "python -m mnn.baselines --train $(cat {input.train:q}) --n-train {wildcards.n_train}"
        " --validation $(cat {input.validation:q}) --n-validation {params.n_validation}"
        " --test $(cat {input.test:q}) --n-test {params.n_test} {params.background} --output {output:q} > {log:q} 2>&1"


rule fno:
    input:
        model=rules.train.output.model,
        train=lambda wildcards: listed(wildcards.data, "train", experiment(wildcards).n_train),
        validation=lambda wildcards: listed(wildcards.data, "validation", samples(wildcards.data, "validation")),
        test=lambda wildcards: listed(wildcards.data, "test", n_test(wildcards)),
    output:
        f"{RESULTS}/errors/{{data}}/{{model}}_fno.json",
    log:
        f"{RESULTS}/logs/fno/{{data}}/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fno/{{data}}/{{model}}.tsv"
    conda:
        "../envs/mnn-h2.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2 * attempt * TRAIN_MB,
        runtime=lambda wildcards, attempt: attempt * TRAIN_MINUTES,
    params:
        n_train=lambda wildcards: experiment(wildcards).n_train,
        n_validation=lambda wildcards: samples(wildcards.data, "validation"),
        n_test=lambda wildcards: n_test(wildcards),
        device=STUDY.config.device,
        code=sources.digest("mnn.fno"),
    message:
        "Fourier neural operator like {wildcards.model} on {wildcards.data}"
    shell:
        "python -m mnn.fno --like {input.model:q} --train $(cat {input.train:q}) --n-train {params.n_train}"
        " --validation $(cat {input.validation:q}) --n-validation {params.n_validation}"
        " --test $(cat {input.test:q}) --n-test {params.n_test} --output {output:q}"
        " --device {params.device} --threads {threads} > {log:q} 2>&1"
