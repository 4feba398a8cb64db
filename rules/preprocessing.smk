# Bias correction, isotropic voxels, brain only: what a network reads.


rule preprocess:
    input:
        RESULTS.ledger("register", "{shard}"),
    output:
        RESULTS.ledger("preprocess", "{shard}"),
    log:
        RESULTS.log("preprocess", "{shard}"),
    benchmark:
        RESULTS.benchmark("preprocess", "{shard}")
    conda:
        "../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=dag.memory(CONFIG, "preprocess"),
        runtime=dag.minutes(CONFIG, "preprocess"),
    params:
        settings=dag.version(CONFIG, "preprocess"),
    shell:
        "flairflow preprocess --config {RESULTS.config:q} --shard {wildcards.shard} --threads {threads} --log {log:q}"
        + SCRATCH
