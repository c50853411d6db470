"""What works on this machine, and what to do about the rest."""

from __future__ import annotations

from samlab.doctor.clustering import check_clustering
from samlab.doctor.findings import Finding, format_findings
from samlab.doctor.front_end import check_front_end, check_platform
from samlab.doctor.hardware import check_gpus, check_precision, check_threads, check_torch
from samlab.doctor.memory import check_memory
from samlab.doctor.packages import check_packages, check_python, check_segment_anything
from samlab.doctor.storage import (
    check_cache,
    check_compiled,
    check_disk,
    check_given_weights,
    check_weights,
)

__all__ = ["Finding", "diagnose", "format_findings"]


def diagnose(sam: str = "tiny", megapixels: float = 12.0) -> list[Finding]:
    """Look at Python, packages, clustering, GPU, precision, widgets, weights, cache, memory, disk.

    Nothing is changed or downloaded; torch is imported, which takes seconds.

    Args:
        sam: The model that is meant to run, for the memory it needs: a name for `load_sam`, or the
            path of weights.
        megapixels: Size of the pictures, for the same.

    Example:
        >>> any(finding.name == "Python" for finding in diagnose())
        True
    """
    findings = [check_platform(), check_python(), *check_packages(), check_segment_anything()]
    findings.append(check_clustering())
    torch_found = check_torch()
    findings += torch_found
    if all(finding.status != "fail" for finding in torch_found):
        findings += [*check_gpus(), check_precision(), check_threads()]
    findings += [check_front_end(), *check_weights()]
    given: list[Finding] = []
    if all(finding.status != "fail" for finding in torch_found):
        given = list(check_given_weights(sam))
    findings += [*given, check_cache()]
    if all(finding.status != "fail" for finding in torch_found):
        findings.append(check_compiled())
    if all(finding.status != "fail" for finding in given):
        findings.append(check_memory(sam, megapixels))
    return [*findings, check_disk(sam)]
