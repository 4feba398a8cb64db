# The brain of the reference image; sequences and masks onto that image, the image onto the template.


rule register:
    input:
        ancient(RESULTS.cohort),
        shard=RESULTS.shard_list("{shard}"),
    output:
        RESULTS.ledger("register", "{shard}"),
    log:
        RESULTS.log("register", "{shard}"),
    benchmark:
        RESULTS.benchmark("register", "{shard}")
    conda:
        "../envs/network.yaml"
    threads: 1
    resources:
        mem_mb=dag.memory(CONFIG, "register"),
        runtime=dag.minutes(CONFIG, "register"),
    params:
        settings=dag.version(CONFIG, "register"),
    shell:
        "flairflow register --config {RESULTS.config:q} --shard {wildcards.shard} --threads {threads} --log {log:q}"
        + SCRATCH
