# The models that come with flairflow, made again: `snakemake default_models`. Nothing else needs this.


rule default_models:
    output:
        [RESULTS.boxed(name) / file for name in ("brain", "default") for file in MODEL_FILES],
    log:
        RESULTS.log("default_models", "default_models"),
    benchmark:
        RESULTS.benchmark("default_models", "default_models")
    conda:
        "../envs/network.yaml"
    threads: 8
    resources:
        mem_mb=dag.memory(CONFIG, "default_models"),
        runtime=dag.minutes(CONFIG, "default_models"),
        gpu=1,
    params:
        settings=dag.version(CONFIG, "default_models"),
    shell:
        "flairflow make-models --config {RESULTS.config:q} --threads {threads} --log {log:q}" + SCRATCH
