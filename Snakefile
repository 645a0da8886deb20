# MNN-H²: data -> training -> evaluation -> tables -> figures. The study itself is described in config.yaml.
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")
sys.path.insert(0, workflow.basedir)


configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/publish.smk"


report: "workflow/report/workflow.rst"


rule all:
    default_target: True
    input:
        f"{RESULTS}/summary.md",
        f"{RESULTS}/claims.csv",
        f"{RESULTS}/manifest.json",
        figure_files(STUDY.config.figures),
        [f"{RESULTS}/cards/{name}.html" for name in STUDY.config.figures],
    message:
        "All figures, tables and claims"
