# Predictions of the test scans against their known masks. Intensity thresholds are chosen on training scans alone.


rule thresholds:
    input:
        ledgers("preprocess", ["train"]),
    output:
        RESULTS.table("thresholds"),
        dictionary(RESULTS.table("thresholds")),
    log:
        RESULTS.log("thresholds", "thresholds"),
    benchmark:
        RESULTS.benchmark("thresholds", "thresholds")
    conda:
        "../envs/images.yaml"
    resources:
        mem_mb=dag.memory(CONFIG, "thresholds"),
        runtime=dag.minutes(CONFIG, "thresholds"),
    params:
        settings=dag.version(CONFIG, "thresholds"),
    shell:
        "flairflow thresholds --config {RESULTS.config:q} --log {log:q}"


rule evaluate:
    input:
        lambda wildcards: dag.evaluated(CONFIG, wildcards.ensemble, wildcards.shard),
    output:
        RESULTS.ledger("evaluate/{ensemble}", "{shard}"),
    log:
        RESULTS.log("evaluate", "{ensemble}/{shard}"),
    benchmark:
        RESULTS.benchmark("evaluate/{ensemble}", "{shard}")
    conda:
        "../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=dag.memory(CONFIG, "evaluate"),
        runtime=dag.minutes(CONFIG, "evaluate"),
    params:
        settings=dag.version(CONFIG, "evaluate"),
    shell:
        "flairflow evaluate --config {RESULTS.config:q} --shard {wildcards.shard}"
        " --ensemble {wildcards.ensemble} --log {log:q}" + SCRATCH


rule metrics:
    input:
        [ledgers(f"evaluate/{name}", ["test"], having="annotated") for name in CONFIG.compared],
        CONFIG.compare.imported,
        # Rows of others about participants who withdrew are left out, also where no scan of one's own is theirs.
        [data.withdrawn for data in CONFIG.datasets.values() if CONFIG.compare.imported and data.withdrawn],
    output:
        RESULTS.table("metrics"),
        dictionary(RESULTS.table("metrics")),
    log:
        RESULTS.log("metrics", "metrics"),
    benchmark:
        RESULTS.benchmark("metrics", "metrics")
    conda:
        "../envs/images.yaml"
    resources:
        mem_mb=dag.memory(CONFIG, "metrics"),
        runtime=dag.minutes(CONFIG, "metrics"),
    params:
        settings=dag.version(CONFIG, "metrics"),
    shell:
        "flairflow metrics --config {RESULTS.config:q} --log {log:q}"


rule comparison:
    input:
        RESULTS.table("metrics"),
        [dag.model_files(CONFIG, name) for name in CONFIG.ensembles],
        CONFIG.compare.published or [],
        # The gallery shows scans with their masks.
        ledgers("register", ["test"], having="annotated"),
        ledgers(f"segment/{CONFIG.segmenter}", ["test"], having="annotated"),
    output:
        RESULTS.table("comparison"),
        dictionary(RESULTS.table("comparison")),
        RESULTS.comparison_tables,
        [RESULTS.figure(name, label, kind) for kind in ("svg", "json") for name in FIGURES for label in CONFIG.labels],
        [
            report(
                RESULTS.figure(name, label, "png"),
                category="Comparison",
                caption=f"captions/{name}.rst",
                labels={"figure": name.replace("_", " "), "label": label},
            )
            for name in FIGURES
            for label in CONFIG.labels
        ],
    log:
        RESULTS.log("compare", "compare"),
    benchmark:
        RESULTS.benchmark("compare", "compare")
    conda:
        "../envs/images.yaml"
    resources:
        mem_mb=dag.memory(CONFIG, "comparison"),
        runtime=dag.minutes(CONFIG, "comparison"),
    params:
        settings=dag.compare_version(CONFIG),
    shell:
        "flairflow compare --config {RESULTS.config:q} --log {log:q}"
