"""Names that the project had before its refactoring are gone, so that each thing has one name."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ("kd", "components", "pipeline", "benchmarks")
ALLOWED = (
    "CHANGELOG.md",
    "components/params/load.py",  # the table of renamed parameters
    "tests/components/params/test_load.py",
    "tests/components/registry/frozen/",  # a registered model of that time
    "tests/components/registry/test_upgrade.py",
    "tests/test_names.py",
)
NAMES = """
AGAINST_A_CHAMPION ALONE Adapted Agreement BEFORE_NMS BRIGHTEST Bench BinaryMask CLEAR COCO_SIDE COLOURS CONTENT COUNT Cartographer
ChannelLoss Colour ComparisonRule Contender Contestant Contestants Courier DEPLOYED DIGEST Decoded EVALUATED EXECUTOR EXPORT_DIFFERENCE
EpochBatches EpochReport Errand FASTER FEW FORMATS FOR_ALL FeatureLoss FineGrained Frame GOLDEN Group HEIGHTS Heat Hint IN_SPLIT_FOLDER
IN_USE Judgement KEPT KEPT_BYTES LARGEST LARGEST_LOG_SIZE LEAST LIMITS LINEAGE LOSSES Lesson Loaded MOST_BOXES MOST_CLASSES MOST_HIDDEN
Measured NEEDED Named Narrator ORIENTATION OVERLAP ObjectScales Objective Origin PASSED_ON PAUSES PER_STRIDE PICTURE PLACE Partner QUALITY
READINGS RIVALS RIVAL_FACTORS Result Rival SCORED SECONDS SELECT SHOWN SHOWN_LINES SLACK_PIXELS SLACK_SHARE SMALLEST SPLIT_KEYS
START_PATIENCE Selection Shown Source Squares Stopwatch TAG TIMED TOO_HARD TRIES Teaching Terms Trainer TrainingSamples UNDISTURBED
UNREADABLE Untracked Verdict acting arithmetic as_params as_results as_rows build_optimiser cartographer centres check_loadable check_loads
check_picture checked_classes class_colour colour complete_splits connected contact_sheet contender contenders contest contestant
contestants courier deliver digest_of dismiss draw_maps errand execute exits_cleanly explained faults filtered finite_weights first_line
fit_boxes fitted_anchors guard heat heat_maps in_labels_of in_picture judge judged judgement lesson lesson_digest lesson_of list_all
local_store log_hint mean_one narrator objective offsets opponent optimiser parameter_count partners passing pipeline_of plan process_group
quiet_client quieten rate_at read_source recognises recolour refuse_empty_classes reign rival run_graph select_model settle_parent
show_results spec_of split_of split_sources store_uri stored_verdicts stride_of summarise take_turns taken_back tap_names teacher_finds
teaching tell text_lines too_hard verdict verdicts verdicts_table
AnchorsByModel FLOOR maps_of_batch pulls_too_hard
"""
"""Identifiers that must not occur anywhere."""
MODULES = """
benchmarks.rivals benchmarks.rivals.fgd benchmarks.rivals.fgfi benchmarks.rivals.fitnets benchmarks.rivals.pkd components.agreement
components.anchors components.boxes components.coco_format components.courier components.data_source components.execution
components.explain components.export components.gate components.gate.bootstrap components.gate.judgement components.gate.measure
components.gate.rules components.latency components.layouts components.layouts.coco components.layouts.pictures components.layouts.records
components.layouts.source components.layouts.voc components.layouts.yolo components.notify components.packaging components.preview
components.registry.card components.registry.cli components.registry.journal components.registry.promotion components.registry.store
components.report components.report.contestant components.report.examples components.report.figures components.report.heat
components.report.pictures components.report.tables components.report.verdict components.results components.served_model components.splits
components.step components.summary components.tracking components.training kd.data.square kd.distillation.adapted
kd.distillation.cartographer kd.distillation.channels kd.distillation.feature kd.distillation.mapping kd.distillation.pairing
kd.distillation.response kd.distillation.teaching kd.draw kd.model.frozen kd.train.fit kd.train.group kd.train.guard kd.train.loop
kd.train.objective kd.train.report kd.train.schedule pipeline.narrator pipeline.placement pipeline.schedule
components.prepare_data.checks components.prepare_data.class_names
"""
"""Modules that moved."""
WORDS = """
ABOUT Average Cron DONE Finds Fit Focal Found Limits Maps PATIENCE Pearson Record SURE Share Training adapted against agreement alike alone
artifact asked back before_nms began build card chosen containers create embedded fetched finds fit fitted found frame frozen gpus group
identity inside into job keep known leads look loop losses made mapping masked match meaning measured more named overlapping owners pairing
pause places quality reading records reference rivals say scaled selection send slope smallest square start suppress tag tap taught
test_split took truth unfinished visible wanted world
Config Files Labels about fold pose resolve surround
"""
"""Identifiers that are also English words: no definition may have them as its name again."""


def texts() -> Iterator[tuple[str, str]]:
    """Name and content of every text file of the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if not name.startswith((*ALLOWED, "requirements")) and (ROOT / name).is_file():
            try:
                yield name, (ROOT / name).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def occurrences(words: list[str]) -> list[str]:
    pattern = re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, words))})(?!\w)")
    found = [f"{name}: {match[1]}" for name, text in texts() for match in pattern.finditer(text)]
    return sorted(set(found))


def definitions(tree: ast.Module) -> Iterator[str]:
    """Names of functions, classes, fields, and constants at the top of a module or class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.Module | ast.ClassDef):
            for statement in node.body:
                targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
                yield from (target.id for target in targets if isinstance(target, ast.Name))


@pytest.mark.parametrize("words", [NAMES, MODULES], ids=["names", "modules"])
def test_former_names_occur_nowhere(words: str) -> None:
    assert len(words.split()) > 30 and occurrences(words.split()) == []


def test_former_names_that_are_words_are_not_defined_again() -> None:
    former = set(WORDS.split())
    files = [file for folder in CODE for file in (ROOT / folder).rglob("*.py")]
    found = [f"{file.relative_to(ROOT)}: {name}" for file in files for name in definitions(ast.parse(file.read_text())) if name in former]
    assert len(files) > 100 and found == []


def test_the_search_finds_whole_words() -> None:
    assert (
        occurrences(["kdflow"])
        and not occurrences(["kdflo"])
        and "flatten_heads" in dict.fromkeys(definitions(ast.parse("def flatten_heads(): 0")))
    )
