# What a call shows when it ends well. No rule is defined here.

import logging

from pixelherd.errors import show


def show_results(rules):
    """Show the final table and say where the report lies, if these rules are among those that make them."""
    final, report = Path(PATHS.table.format(table="final", kind="md")), Path(PATHS.report)
    if STORAGE:
        STORAGE.fetch_made(rules, write_tables=final, write_report=report)
    if "write_tables" in rules:
        show(final.read_text())
    if "write_report" in rules:
        show(f"The report: {report.absolute()}")


class Idle(logging.Filter):
    """Shows the results where Snakemake says that nothing is to be done: it calls no handler then."""

    def filter(self, record):
        """Show them, and let the line pass."""
        if record.getMessage().startswith("Nothing to be done") and not workflow.dryrun:
            show_results({job.rule.name for job in workflow.dag.jobs})
        return True


if workflow.is_main_process and not workflow.output_settings.quiet:
    logging.getLogger("snakemake.logging").addFilter(Idle())
