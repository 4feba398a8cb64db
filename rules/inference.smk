# Masks of every scan by the chosen ensemble; the others segment the test shards, to be compared. Archive shards have
# nothing to train on or to score: they go from images to masks in one pass, with the same result.


rule segment:
    input:
        lambda wildcards: dag.model_files(CONFIG, wildcards.ensemble),
        prepared=RESULTS.ledger("preprocess", "{shard}"),
    output:
        RESULTS.ledger("segment/{ensemble}", "{shard}"),
    log:
        RESULTS.log("segment", "{ensemble}/{shard}"),
    benchmark:
        RESULTS.benchmark("segment/{ensemble}", "{shard}")
    wildcard_constraints:
        shard=r"[A-Za-z0-9]+-(train|validation|test)-\d+",
    conda:
        "../envs/network.yaml"
    threads: 4
    resources:
        mem_mb=dag.memory(CONFIG, "segment"),
        runtime=dag.minutes(CONFIG, "segment"),
        gpu=1,
    params:
        settings=lambda wildcards: dag.segment_version(CONFIG, wildcards.shard, wildcards.ensemble),
    shell:
        "flairflow segment-shard --config {RESULTS.config:q} --shard {wildcards.shard}"
        " --ensemble {wildcards.ensemble} --threads {threads} --log {log:q}" + SCRATCH


rule segment_archive:
    input:
        lambda wildcards: dag.model_files(CONFIG, wildcards.ensemble),
        ancient(RESULTS.cohort),
        shard=RESULTS.shard_list("{shard}"),
    output:
        RESULTS.ledger("segment/{ensemble}", "{shard}"),
    log:
        RESULTS.log("segment", "{ensemble}/{shard}"),
    benchmark:
        RESULTS.benchmark("segment/{ensemble}", "{shard}")
    wildcard_constraints:
        shard=r"[A-Za-z0-9]+-archive-\d+",
    conda:
        "../envs/network.yaml"
    threads: 4
    resources:
        mem_mb=dag.memory(CONFIG, "segment_archive"),
        runtime=dag.minutes(CONFIG, "segment_archive"),
        gpu=1,
    params:
        settings=lambda wildcards: dag.segment_version(CONFIG, wildcards.shard, wildcards.ensemble),
    shell:
        "flairflow segment-archive --config {RESULTS.config:q} --shard {wildcards.shard}"
        " --ensemble {wildcards.ensemble} --threads {threads} --log {log:q}" + SCRATCH


rule volumes:
    input:
        ledgers(f"segment/{CONFIG.segmenter}"),
    output:
        RESULTS.table("volumes"),
        dictionary(RESULTS.table("volumes")),
    log:
        RESULTS.log("volumes", "volumes"),
    benchmark:
        RESULTS.benchmark("volumes", "volumes")
    conda:
        "../envs/images.yaml"
    resources:
        mem_mb=dag.memory(CONFIG, "volumes"),
        runtime=dag.minutes(CONFIG, "volumes"),
    params:
        settings=dag.version(CONFIG, "volumes"),
    shell:
        "flairflow volumes --config {RESULTS.config:q} --log {log:q}"
