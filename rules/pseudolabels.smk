# A teacher, the ensemble of another entry or of an earlier step, predicts the training scans that lack a mask; only those.


def pseudolabels(wildcards):
    """What the teacher of a network, if it has one, must have predicted before."""
    owner = entry(CONFIG, wildcards.strategy)
    name = teacher(owner, owner.parts[wildcards.part])
    return ledgers(f"pseudolabel/{name}", ["train"], having="incomplete")(wildcards) if name else []


rule pseudolabel:
    input:
        lambda wildcards: dag.model_files(CONFIG, wildcards.ensemble),
        RESULTS.ledger("preprocess", "{shard}"),
    output:
        RESULTS.ledger("pseudolabel/{ensemble}", "{shard}"),
    log:
        RESULTS.log("pseudolabel", "{ensemble}/{shard}"),
    benchmark:
        RESULTS.benchmark("pseudolabel/{ensemble}", "{shard}")
    conda:
        "../envs/network.yaml"
    threads: 4
    resources:
        mem_mb=dag.memory(CONFIG, "pseudolabel"),
        runtime=dag.minutes(CONFIG, "pseudolabel"),
        gpu=1,
    params:
        settings=dag.predicted_version(CONFIG, "pseudolabel"),
    shell:
        "flairflow pseudolabel --config {RESULTS.config:q} --shard {wildcards.shard}"
        " --ensemble {wildcards.ensemble} --threads {threads} --log {log:q}" + SCRATCH
