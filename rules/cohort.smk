# Which scans there are. `index` is a checkpoint: all further jobs follow from the shards it finds. The shard lists and the
# assignments are no outputs of it, or every shard would run again after each index.


def ledgers(stage, splits=("train", "validation", "test", "archive"), having=None):
    """The ledgers of a stage for all shards of some splits, known once the index has run."""

    def inputs(wildcards):
        checkpoints.index.get()
        return [RESULTS.ledger(stage.format(**wildcards), s) for s in shard_names(RESULTS, splits, having)]

    return inputs


if CONFIG.simulation:

    rule simulate:
        output:
            CONFIG.simulation.root / "simulated.json",
        log:
            RESULTS.log("simulate", "simulate"),
        benchmark:
            RESULTS.benchmark("simulate", "simulate")
        conda:
            "../envs/images.yaml"
        threads: 4
        resources:
            mem_mb=dag.memory(CONFIG, "simulate"),
            runtime=dag.minutes(CONFIG, "simulate"),
        params:
            settings=dag.version(CONFIG, "simulate"),
        shell:
            "flairflow simulate --config {RESULTS.config:q} --threads {threads} --log {log:q}"


checkpoint index:
    input:
        CONFIG.simulation.root / "simulated.json" if CONFIG.simulation else [],
    output:
        RESULTS.cohort,
        dictionary(RESULTS.cohort),
        RESULTS.cohort_summary,
        dictionary(RESULTS.cohort_summary),
        RESULTS.shards,
    log:
        RESULTS.log("index", "index"),
    benchmark:
        RESULTS.benchmark("index", "index")
    conda:
        "../envs/images.yaml"
    threads: 8
    resources:
        mem_mb=dag.memory(CONFIG, "index"),
        runtime=dag.minutes(CONFIG, "index"),
    params:
        settings=dag.version(CONFIG, "index"),
        archive=dag.archive(CONFIG, workflow),
    shell:
        "flairflow index --config {RESULTS.config:q} --threads {threads} --log {log:q}"
