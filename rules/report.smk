# The page for people, made from the tables; then the end of what need not stay, and the last words of a run.


onsuccess:
    shell("cat {RESULTS.summary} 2> /dev/null || true")
    dag.say_last_word(RESULTS)


onerror:
    dag.say_last_word(RESULTS)


rule report:
    input:
        RESULTS.cohort,
        RESULTS.table("volumes"),
        rules.comparison.output if CONFIG.scores else [],
    output:
        report(RESULTS.report, category="Report", caption="captions/report.rst"),
        RESULTS.summary,
    log:
        RESULTS.log("report", "report"),
    benchmark:
        RESULTS.benchmark("report", "report")
    conda:
        "../envs/images.yaml"
    resources:
        mem_mb=dag.memory(CONFIG, "report"),
        runtime=dag.minutes(CONFIG, "report"),
    params:
        settings=dag.version(CONFIG, "report"),
    shell:
        "flairflow report --config {RESULTS.config:q} --log {log:q}"


rule tidy:
    input:
        TARGETS,
    output:
        RESULTS.table("storage"),
        dictionary(RESULTS.table("storage")),
    log:
        RESULTS.log("tidy", "tidy"),
    benchmark:
        RESULTS.benchmark("tidy", "tidy")
    conda:
        "../envs/images.yaml"
    resources:
        mem_mb=dag.memory(CONFIG, "tidy"),
        runtime=dag.minutes(CONFIG, "tidy"),
    params:
        settings=dag.version(CONFIG, "tidy"),
    shell:
        "flairflow tidy --config {RESULTS.config:q} --log {log:q}"
