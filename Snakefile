"""flairflow: from an archive of brain MRI (BIDS) to lesion masks, volumes and a report.

The rules wire, the package computes: what a stage does stands in src/flairflow, which paths there are in paths.py.
"""

from snakemake.utils import min_version

from flairflow import dag
from flairflow.cohort.sharding import shard_names
from flairflow.paths import BUNDLE_FILES, FIGURES, MODEL_FILES, Results, dictionary
from flairflow.training.configured_strategies import entry, teacher

min_version("9.27")

# A configuration given on the command line stands alone: it is not mixed with the demo's datasets.
if not workflow.config_settings.configfiles:

    configfile: "config.yaml"


dag.check_resources(workflow)
dag.share_cores(workflow)
CONFIG = dag.load(config, workflow.configfiles, workflow.is_main_process)
RESULTS = Results(CONFIG.results)
SCRATCH = dag.scratch_option(workflow)
TARGETS = dag.targets(CONFIG)


wildcard_constraints:
    shard=r"[A-Za-z0-9]+-[a-z]+-\d+",
    ensemble=r"[A-Za-z0-9_.]+",
    strategy=r"[A-Za-z0-9_]+",
    part=r"[A-Za-z0-9_-]+",
    seed=r"\d+",


onstart:
    dag.watch_executor(workflow)
    dag.keep_config(CONFIG)


include: "rules/cohort.smk"
include: "rules/registration.smk"
include: "rules/preprocessing.smk"


if not CONFIG.models:

    include: "rules/pseudolabels.smk"
    include: "rules/training.smk"


include: "rules/inference.smk"
include: "rules/evaluation.smk"
include: "rules/report.smk"
include: "rules/models.smk"


rule compare:
    input:
        rules.comparison.output,
    localrule: True


rule all:
    default_target: True
    input:
        TARGETS,
        RESULTS.table("storage"),
    localrule: True


rule paper:
    input:
        rules.comparison.output,
        lambda wildcards: dag.published(CONFIG),
    localrule: True
