# Names of results and small helpers for the rules.
import hashlib
import json
import os
import re
import shlex
import time

from solvers.registry import module_of
from workflow import requests, sources
from workflow.config import UNSWEPT, ConfigError
from workflow.study import SPLITS, OwnData, SolvedData, study

try:
    STUDY = study(config)
except ConfigError as error:
    sys.exit(f"config: {error}")

BEGAN = time.monotonic()
RESULTS = f"results/{STUDY.config.tier}"

# The programs of this environment come first, whether or not it is activated.
shell.prefix(f'export PATH="{Path(sys.executable).parent}:$PATH"; ')


wildcard_constraints:
    data="[a-z0-9_-]+",
    model="[A-Za-z0-9_-]+",
    split="|".join(SPLITS),
    start=r"\d+",
    stop=r"\d+",
    figure="[a-z0-9_-]+",


# All trainings ask for the same, the most any of them needs, and so do all evaluations: a job array has one request.
TRAIN_MB, TRAIN_MINUTES, EVALUATE_MB = requests.largest(STUDY)

# Jobs with a `ulimit -Sd` are held to the memory they asked for: one that outgrows it ends by itself, and its neighbours
# on the machine stay whole. Not where a GPU may be used, whose driver reserves address space beyond all measure.


# Whether data and models are shared with other workflows through a cache.
CACHED = "SNAKEMAKE_OUTPUT_CACHE" in os.environ


def unrecorded_if_cached(name):
    """Keep no benchmark record where a cache is used; Snakemake refuses to have both."""
    if CACHED:
        workflow.get_rule(name)._benchmark = None


def as_json(value):
    """Canonical JSON: the order of keys in config.yaml means nothing."""
    return json.dumps(value, sort_keys=True)


def shards(data, split, count):
    names = STUDY.data[data].shards(split, count)
    return [f"{RESULTS}/data/{data}/{split}/{name}.nc" for name in names]


def checks(data, split, count):
    """Reports of the checker for the same shards: nothing is trained or tested on a shard that was not checked."""
    return [shard.replace(".nc", ".check.json") for shard in shards(data, split, count)]


def listed(data, split, count):
    """File that lists the shards of the first samples of a split, all of them checked."""
    return f"{RESULTS}/data/{data}/{split}/first{count}.txt"


def background(data):
    """File that lists the one sample with u_0, where errors relative to the signal are wanted; else nothing."""
    return listed(STUDY.backgrounds[data], "test", 1) if data in STUDY.backgrounds else []


def background_option(file):
    return f"--background $(cat {shlex.quote(str(file))})" if file else ""


def experiment(wildcards):
    return STUDY.experiments[(wildcards.data, wildcards.model)]


def checkpoint_name(experiment):
    """A name of its own for every configuration, so that no training meets the checkpoint of another."""
    known = as_json([vars(experiment), vars(STUDY.data[experiment.data]), sources.digest("mnn.train")])
    return f"checkpoint_{hashlib.sha256(known.encode()).hexdigest()[:8]}.safetensors"


def n_test(wildcards):
    return STUDY.tests[(wildcards.data, wildcards.model)]


def samples(data, split):
    return STUDY.data[data].samples[split]


def named(kind):
    """Pattern of the names of all data sets of a kind; it matches nothing where there is none."""
    return "|".join(name for name, data in STUDY.data.items() if isinstance(data, kind)) or "(?!)"


def solver(data):
    """Modules that a data set is made by, those of the workflow apart: its problem's, none for a user's file."""
    made = STUDY.data[data]
    return [module_of(made.problem["name"])] if isinstance(made, SolvedData) else []


def figure_files(names, extensions=("pdf", "png", "svg")):
    return [f"{RESULTS}/figures/{name}.{extension}" for name in names for extension in extensions]


ERROR_FIGURES = [name for name, figure in STUDY.config.figures.items() if figure.kind not in UNSWEPT]
SPEED_FIGURES = [name for name, figure in STUDY.config.figures.items() if figure.kind == "speed"]


def axis(figure):
    return next(iter(STUDY.config.figures[figure].sweep), "none")


def problem_title(figure):
    """Group of the report: the problem, or all of them where a figure compares some."""
    described = STUDY.config.figures[figure]
    titles = {STUDY.config.data_sets[series.data_set or described.data_set].title for series in described.series}
    return titles.pop() if len(titles) == 1 else "All problems"


def figure_title(figure):
    return STUDY.config.figures[figure].title


def table_rows(figure):
    """What a table is made of: for every point its label, its place on the axis and its files."""
    described = STUDY.config.figures[figure]
    return [
        {
            "label": point.label,
            "value": point.value,
            "seeds": described.seeds,
            "relative_to": described.relative_to,
            "n_train": point.n_train,
            "n_test": point.n_test,
            "files": {
                "errors": f"{RESULTS}/errors/{point.data}/{point.experiment}.nc",
                "baselines": f"{RESULTS}/errors/{point.data}/baselines_n{point.n_train}.json",
                **fno(figure, point),
            },
        }
        for point in STUDY.points[figure]
    ]


def fno(figure, point):
    """File with the errors of a Fourier neural operator like the network of a point, where one is wanted."""
    described = STUDY.config.figures[figure]
    compared = described.kind in ("error", "error_and_spread", "min_and_median", "cost")
    first = STUDY.points[figure][0].label
    if not (STUDY.config.fno and compared and described.relative_to == "solution" and point.label == first):
        return {}
    return {"fno": f"{RESULTS}/errors/{point.data}/{point.experiment}_fno.json"}


def speed_rows(figure):
    """What is timed: for every curve its label, its problem, its model and the list of the shards it is timed on."""
    return [
        {
            "label": point.label,
            "problem": STUDY.data[point.data].problem,
            "model": f"{RESULTS}/models/{point.data}/{point.experiment}/model.safetensors",
            "test": listed(point.data, "test", point.n_test),
            "n_test": point.n_test,
        }
        for point in STUDY.points[figure]
    ]


def table_files(figure):
    """The table of a figure, in a list; none where samples are drawn."""
    return [] if STUDY.config.figures[figure].kind == "predictions" else [f"{RESULTS}/tables/{figure}.csv"]


def plot_input(figure):
    return table_files(figure) or [row["files"]["errors"] for row in table_rows(figure)]


def network_files(figure):
    """Files of every network of a figure that hold what it was made from."""
    names = sorted({(point.data, point.experiment) for point in STUDY.points[figure]})
    return [
        {
            "errors": f"{RESULTS}/errors/{data}/{experiment}.nc",
            "model": f"{RESULTS}/models/{data}/{experiment}/model.safetensors",
        }
        for data, experiment in names
    ]


def data_origin(name):
    """Where the fields of a data set come from, JSON-ready."""
    data = STUDY.data[name]
    if isinstance(data, OwnData):
        return {"file": data.path}
    return {"problem": data.problem, "field": data.field, "seed": data.seed, "code": sources.digest(*solver(name))}


def card(figure):
    """What the page of a figure in the report holds."""
    declared = STUDY.config.figures[figure]
    points = STUDY.points[figure]
    trainings = {series.training for series in declared.series}
    origins = {f"data set {name}": data_origin(name) for name in sorted({point.data for point in points})}
    recipes = {f"training {name}": STUDY.config.training[name].model_dump() for name in sorted(trainings)}
    content = {
        "title": declared.title,
        "caption": declared.caption,
        "picture": f"{RESULTS}/figures/{figure}.svg",
        "wide": declared.kind in ("predictions", "cost"),
        "networks": network_files(figure),
        "made_from": {**origins, **recipes, "code of networks and training": sources.digest("mnn.train")},
    }
    return content | {"table": file for file in table_files(figure)}


def report_of_table(pattern):
    """A table as the report takes it."""
    return report(
        pattern,
        caption="../report/table.rst",
        category=lambda wildcards: problem_title(wildcards.figure),
        subcategory="Tables (CSV)",
        labels=lambda wildcards: {"figure": wildcards.figure, "shows": figure_title(wildcards.figure)},
    )


def figure_targets(names):
    """Targets by name: every figure, and every figure number for all of its panels."""
    targets = {name: [name] for name in names}
    for name in names:
        if panel := re.fullmatch(r"(fig\d+)[a-z]", name):
            targets.setdefault(panel[1], []).append(name)
    return targets
