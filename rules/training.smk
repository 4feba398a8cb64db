# One job per entry of `strategies`, part (one of its networks) and seed. It depends on the train and validation shards alone: an archive that grows retrains nothing.


rule train_model:
    input:
        ledgers("preprocess", ["train", "validation"]),
        pseudolabels,
        lambda wildcards: dag.models_before(CONFIG, wildcards.strategy, wildcards.part, wildcards.seed),
    output:
        [RESULTS.model("{strategy}", "{part}", "{seed}") / name for name in (*MODEL_FILES, *BUNDLE_FILES)],
    log:
        RESULTS.log("train", "{strategy}/{part}/seed-{seed}"),
    benchmark:
        RESULTS.benchmark("train", "{strategy}/{part}/seed-{seed}")
    conda:
        "../envs/network.yaml"
    threads: 8
    resources:
        mem_mb=dag.memory(CONFIG, "train_model"),
        runtime=dag.minutes(CONFIG, "train_model"),
        gpu=1,
    params:
        settings=lambda wildcards: dag.training_version(CONFIG, wildcards.strategy),
    shell:
        "flairflow train --config {RESULTS.config:q} --strategy {wildcards.strategy} --part {wildcards.part}"
        " --seed {wildcards.seed} --threads {threads} --log {log:q}" + SCRATCH


rule train:
    input:
        [dag.model_files(CONFIG, strategy) for strategy in CONFIG.strategies],
    localrule: True
