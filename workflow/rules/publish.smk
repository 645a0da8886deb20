# Tables, figures, the summary and what the report holds of them.


rule tabulate:
    input:
        lambda wildcards: sorted({file for row in table_rows(wildcards.figure) for file in row["files"].values()}),
    output:
        report_of_table(f"{RESULTS}/tables/{{figure}}.csv"),
    log:
        f"{RESULTS}/logs/tabulate/{{figure}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/tabulate/{{figure}}.tsv"
    wildcard_constraints:
        figure="|".join(ERROR_FIGURES) or "(?!)",
    conda:
        "../envs/mnn-h2.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        rows=lambda wildcards: as_json(table_rows(wildcards.figure)),
        axis=lambda wildcards: axis(wildcards.figure),
        timed=lambda wildcards: "--timed" if STUDY.config.figures[wildcards.figure].kind == "cost" else "",
        caption=lambda wildcards: STUDY.config.figures[wildcards.figure].caption,
        code=sources.digest("workflow.tabulate"),
    message:
        "Table of {wildcards.figure}"
    shell:
        "python -m workflow.tabulate --axis {params.axis} {params.timed} --rows {params.rows:q} --output {output:q} > {log:q} 2>&1"


# Networks and solvers are timed in turns by one job, so that all see the same machine.
rule time_surrogates:
    input:
        models=lambda wildcards: [row["model"] for row in speed_rows(wildcards.figure)],
        test=lambda wildcards: [row["test"] for row in speed_rows(wildcards.figure)],
    output:
        report_of_table(f"{RESULTS}/tables/{{figure}}.csv"),
    log:
        f"{RESULTS}/logs/time_surrogates/{{figure}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/time_surrogates/{{figure}}.tsv"
    wildcard_constraints:
        figure="|".join(SPEED_FIGURES) or "(?!)",
    conda:
        "../envs/mnn-h2.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        rows=lambda wildcards: as_json(speed_rows(wildcards.figure)),
        device=STUDY.config.device,
        caption=lambda wildcards: STUDY.config.figures[wildcards.figure].caption,
        code=lambda wildcards: sources.digest(
            "benchmarks.surrogates", *{module_of(row["problem"]["name"]) for row in speed_rows(wildcards.figure)}
        ),
    message:
        "Timing networks and solvers for {wildcards.figure}"
    shell:
        "python -m benchmarks.surrogates --rows {params.rows:q} --device {params.device} --output {output:q}"
        " > {log:q} 2>&1"


rule plot:
    input:
        lambda wildcards: plot_input(wildcards.figure),
    output:
        f"{RESULTS}/figures/{{figure}}.pdf",
        f"{RESULTS}/figures/{{figure}}.png",
        f"{RESULTS}/figures/{{figure}}.svg",
    log:
        f"{RESULTS}/logs/plot/{{figure}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot/{{figure}}.tsv"
    conda:
        "../envs/mnn-h2.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        kind=lambda wildcards: STUDY.config.figures[wildcards.figure].kind,
        axis=lambda wildcards: axis(wildcards.figure),
        title=lambda wildcards: STUDY.config.figures[wildcards.figure].title,
        caption=lambda wildcards: STUDY.config.figures[wildcards.figure].caption,
        code=sources.digest("workflow.plot"),
    message:
        "Figure {wildcards.figure}"
    shell:
        "python -m workflow.plot --kind {params.kind} --axis {params.axis} --title {params.title:q}"
        " --input {input:q} --output {output:q} > {log:q} 2>&1"


rule card:
    input:
        f"{RESULTS}/figures/{{figure}}.svg",
        lambda wildcards: table_files(wildcards.figure),
        lambda wildcards: [file for files in network_files(wildcards.figure) for file in files.values()],
    output:
        report(
            f"{RESULTS}/cards/{{figure}}.html",
            caption="../report/figure.rst",
            category=lambda wildcards: problem_title(wildcards.figure),
            subcategory="Figures",
            labels=lambda wildcards: {"figure": wildcards.figure, "shows": figure_title(wildcards.figure)},
        ),
    log:
        f"{RESULTS}/logs/card/{{figure}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/card/{{figure}}.tsv"
    conda:
        "../envs/mnn-h2.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        card=lambda wildcards: as_json(card(wildcards.figure)),
        caption=lambda wildcards: STUDY.config.figures[wildcards.figure].caption,
        code=sources.digest("workflow.card"),
    message:
        "Page of {wildcards.figure} in the report"
    shell:
        "python -m workflow.card --card {params.card:q} --output {output:q} > {log:q} 2>&1"


rule summary:
    input:
        lambda wildcards: [f"{RESULTS}/tables/{name}.csv" for name in ERROR_FIGURES],
    output:
        markdown=f"{RESULTS}/summary.md",
        csv=f"{RESULTS}/summary.csv",
        html=report(
            f"{RESULTS}/cards/summary.html",
            caption="../report/summary.rst",
            category="1 Summary",
            labels={"what": "best errors of all figures"},
        ),
    log:
        f"{RESULTS}/logs/summary.log",
    benchmark:
        f"{RESULTS}/benchmarks/summary.tsv"
    conda:
        "../envs/mnn-h2.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        tier=STUDY.config.tier,
        problems=as_json({name: problem_title(name) for name in ERROR_FIGURES}),
        code=sources.digest("workflow.summary"),
    message:
        "Summary of all tables"
    shell:
        "python -m workflow.summary {input:q} --tier {params.tier} --problems {params.problems:q}"
        " --output {output.markdown:q} --csv {output.csv:q} --html {output.html:q} > {log:q} 2>&1"


rule claims:
    input:
        sorted({f"{RESULTS}/tables/{claim.figure}.csv" for claim in STUDY.config.claims.values()}),
    output:
        csv=f"{RESULTS}/claims.csv",
        markdown=f"{RESULTS}/claims.md",
        html=report(
            f"{RESULTS}/cards/claims.html",
            caption="../report/claims.rst",
            category="2 Claims of the paper",
            labels={"what": "all claims, measured"},
        ),
    log:
        f"{RESULTS}/logs/claims.log",
    benchmark:
        f"{RESULTS}/benchmarks/claims.tsv"
    conda:
        "../envs/mnn-h2.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        claims=as_json(
            [
                {"name": name, **claim.model_dump(), "table": f"{RESULTS}/tables/{claim.figure}.csv"}
                for name, claim in STUDY.config.claims.items()
            ]
        ),
        code=sources.digest("workflow.claims"),
    message:
        "Checking the claims of the paper"
    shell:
        "python -m workflow.claims --claims {params.claims:q} --csv {output.csv:q} --markdown {output.markdown:q}"
        " --html {output.html:q} > {log:q} 2>&1"


rule manifest:
    input:
        rules.summary.output,
        rules.claims.output,
        figure_files(STUDY.config.figures),
    output:
        f"{RESULTS}/manifest.json",
    log:
        f"{RESULTS}/logs/manifest.log",
    benchmark:
        f"{RESULTS}/benchmarks/manifest.tsv"
    conda:
        "../envs/mnn-h2.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        results=lambda wildcards, output: str(Path(output[0]).parent),
        code=sources.digest("workflow.manifest"),
    message:
        "Manifest of all results"
    shell:
        "python -m workflow.manifest write {params.results:q} -o {output:q} > {log:q} 2>&1"


# `snakemake fig09a` makes one figure and what it needs, `snakemake fig09` all panels of it.
for target, members in figure_targets(STUDY.config.figures).items():

    rule:
        name:
            target
        input:
            figure_files(members),


onsuccess:
    from workflow.summary import screen  # here, since pandas takes its time and every job reads this file

    print(screen(Path(RESULTS), time.monotonic() - BEGAN), file=sys.stderr)
