# Training: one job trains all seeds of a configuration as members of one network.


rule train:
    input:
        train=lambda wildcards: listed(wildcards.data, "train", experiment(wildcards).n_train),
        validation=lambda wildcards: listed(wildcards.data, "validation", samples(wildcards.data, "validation")),
    output:
        model=f"{RESULTS}/models/{{data}}/{{model}}/model.safetensors",
        history=f"{RESULTS}/models/{{data}}/{{model}}/history.csv",
    log:
        f"{RESULTS}/logs/train/{{data}}/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{data}}/{{model}}.tsv"
    cache: CACHED
    conda:
        "../envs/mnn-h2.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * TRAIN_MB,
        runtime=lambda wildcards, attempt: attempt * TRAIN_MINUTES,
    params:
        network=lambda wildcards: as_json(experiment(wildcards).network),
        training=lambda wildcards: as_json({**experiment(wildcards).training, "members": experiment(wildcards).members}),
        n_train=lambda wildcards: experiment(wildcards).n_train,
        n_validation=lambda wildcards: samples(wildcards.data, "validation"),
        device=STUDY.config.device,
        checkpoint=lambda wildcards, output: str(Path(output.model).with_name(checkpoint_name(experiment(wildcards)))),
        code=sources.digest("mnn.train"),
    message:
        "Training {wildcards.model} on {wildcards.data}"
    shell:
        "[ {params.device} != cpu ] || ulimit -Sd $(({resources.mem_mb} * 1024)); "
        "python -m mnn.train --network {params.network:q} --training {params.training:q}"
        " --train $(cat {input.train:q}) --n-train {params.n_train}"
        " --validation $(cat {input.validation:q}) --n-validation {params.n_validation}"
        " --model {output.model:q} --history {output.history:q} --checkpoint {params.checkpoint:q}"
        " --device {params.device} --threads {threads} > {log:q} 2>&1"


unrecorded_if_cached("train")
