import csv
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command import Outcome, glmedsa, is_one_sentence

from napari_glmedsa.cli.evaluate import ClickPolicy
from napari_glmedsa.cli.medsa_protocol import evaluate_medsa, medsa_scores
from napari_glmedsa.cli.pairing import pair_by_stem
from napari_glmedsa.errors import ImageFormatError
from napari_glmedsa.evaluation import Case
from napari_glmedsa.images import write_image, write_mask
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.samples import draw_lesion


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three drawn lesions; their masks are named in the three known ways."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    for seed, ending in enumerate(("", "_segmentation", "_Segmentation")):
        sample = draw_lesion(seed, (96, 128))
        write_image(images / f"ISIC_000000{seed}.png", sample.image)
        write_mask(masks / f"ISIC_000000{seed}{ending}.png", sample.mask)
    return images, masks


@pytest.fixture
def evaluate(folders, registry: ModelRegistry, monkeypatch, capsys):
    """Runs evaluate on the folders with the tiny model."""
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(registry.root))
    images, masks = folders

    def run(*arguments: object, images=images, masks=masks) -> Outcome:
        where = ("--images", images, "--masks", masks, "--model", "sam_tiny")
        return glmedsa(capsys, "evaluate", *where, *arguments)

    return run


def test_masks_are_paired_by_stem_however_they_end(folders):
    pairing = pair_by_stem(*folders)
    assert [mask.name for _, mask in pairing.pairs] == [
        "ISIC_0000000.png",
        "ISIC_0000001_segmentation.png",
        "ISIC_0000002_Segmentation.png",
    ]
    assert not pairing.without_mask
    assert not pairing.without_image


def test_one_folder_may_hold_images_and_masks(folders):
    images, masks = folders
    (masks / "ISIC_0000000.png").unlink()
    for mask in masks.iterdir():
        mask.rename(images / mask.name)
    pairing = pair_by_stem(images, images)
    assert [(image.name, mask.name) for image, mask in pairing.pairs] == [
        ("ISIC_0000001.png", "ISIC_0000001_segmentation.png"),
        ("ISIC_0000002.png", "ISIC_0000002_Segmentation.png"),
    ]
    assert [path.name for path in pairing.without_mask] == ["ISIC_0000000.png"]


def test_two_files_that_claim_one_mask_are_refused(folders):
    images, masks = folders
    mask = (masks / "ISIC_0000001_segmentation.png").read_bytes()
    (masks / "ISIC_0000001_Segmentation.png").write_bytes(mask)
    with pytest.raises(ImageFormatError, match="both claim to be the mask"):
        pair_by_stem(images, masks)


def test_two_images_of_one_name_are_refused(folders):
    images, masks = folders
    (images / "ISIC_0000001.jpg").write_bytes(b"any")
    with pytest.raises(ImageFormatError, match="have one name"):
        pair_by_stem(images, masks)


def test_the_report_has_every_image_click_and_metric(evaluate, tmp_path):
    report = tmp_path / "reports" / "tiny.json"
    outcome = evaluate("--clicks", 2, "--seed", 5, "--json", report)
    assert outcome.code == 0
    document = json.loads(report.read_text())
    assert list(document) == [
        *("mean", "interval", "images", "n", "model", "precision", "protocol")
    ]
    assert (document["n"], document["model"]) == (3, "sam_tiny")
    assert document["precision"] == "fp32"  # figures are exact unless asked otherwise
    assert document["protocol"]["n_clicks"] == 2
    assert document["protocol"]["seed"] == 5
    metrics = ["dice", "iou", "threshold_jaccard"]
    metrics += ["accuracy", "sensitivity", "specificity"]
    assert [list(image) for image in document["images"]] == [["id", *metrics]] * 3
    assert document["images"][0]["id"] == "ISIC_0000000"
    for metric in metrics:
        per_image = [image[metric] for image in document["images"]]
        assert np.allclose(document["mean"][metric], np.mean(per_image, axis=0))
    assert len(document["mean"]["threshold_jaccard"]) == 2


def test_the_printed_tables_show_what_the_report_says(evaluate, tmp_path):
    report = tmp_path / "r.json"
    outcome = evaluate("--json", report)
    document = json.loads(report.read_text())
    assert "Mean of 3 images" in outcome.out
    for values in (*document["mean"].values(), document["images"][2]["dice"]):
        for value in values:
            assert f"{value:.3f}" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "Evaluating" in outcome.err


def test_many_clicks_get_one_row_each(evaluate):
    outcome = evaluate("--clicks", 6)
    assert outcome.code == 0
    assert max(map(len, outcome.out.splitlines())) <= 80
    rows = [line.split() for line in outcome.out.splitlines() if line.strip()]
    assert sum(row[-4:-3] == ["6"] for row in rows) == 4  # the images, and a mean
    assert sum(row[-6:-5] == ["6"] for row in rows) == 1  # the other mean


def test_equal_seeds_give_equal_scores_and_others_do_not(evaluate, tmp_path):
    scores = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        evaluate("--seed", seed, "--json", tmp_path / f"{name}.json")
        scores.append(json.loads((tmp_path / f"{name}.json").read_text())["images"])
    assert scores[0] == scores[1]
    assert scores[0] != scores[2]


def test_several_seeds_give_their_mean_and_standard_deviation(evaluate, tmp_path):
    report = tmp_path / "r.json"
    alone = []
    for seed in (0, 1):
        evaluate("--clicks", 2, "--seed", seed, "--json", report)
        alone.append(json.loads(report.read_text()))
    outcome = evaluate(
        *("--clicks", 2, "--seed", 0, "--seed", 1, "--seed", 0, "--json", report)
    )
    document = json.loads(report.read_text())
    assert document["seeds"] == {"0": alone[0]["mean"], "1": alone[1]["mean"]}
    assert document["protocol"]["seeds"] == [0, 1]
    for metric, mean in document["mean"].items():
        each = np.array([one["mean"][metric] for one in alone])
        assert np.allclose(mean, each.mean(axis=0))
        assert np.allclose(
            document["sd"][metric], np.abs(each[0] - each[1]) / np.sqrt(2)
        )
    first = [one["images"][0]["dice"] for one in alone]
    assert np.allclose(document["images"][0]["dice"], np.mean(first, axis=0))
    assert "Mean of 3 images and 2 seeds" in outcome.out
    assert "SD: over seeds 0, 1" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80


def test_every_mean_over_images_has_an_interval(evaluate, tmp_path):
    report = tmp_path / "r.json"
    outcome = evaluate("--clicks", 2, "--json", report)
    document = json.loads(report.read_text())
    assert list(document["interval"]) == [
        *("dice", "iou", "threshold_jaccard"),
        *("accuracy", "sensitivity", "specificity"),
    ]
    for metric, intervals in document["interval"].items():
        for (low, high), mean in zip(intervals, document["mean"][metric], strict=True):
            assert low <= mean <= high
            assert f"{low:.3f}-{high:.3f}" in outcome.out
    values = np.array([image["dice"] for image in document["images"]])
    low, high = document["interval"]["dice"][0]
    assert values[:, 0].min() <= low < high <= values[:, 0].max()


def test_one_image_has_no_interval(evaluate, folders, tmp_path):
    for seed in (1, 2):
        (folders[0] / f"ISIC_000000{seed}.png").unlink()
    outcome = evaluate("--json", tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["interval"] == {}
    assert "Mean of 1 image" in outcome.out
    assert "95 %" not in outcome.out


def test_a_negative_seed_is_refused(evaluate):
    outcome = evaluate("--seed", 0, "--seed", -1)
    assert (outcome.code, outcome.out) == (2, "")


def test_the_protocol_of_the_release_clicks_alike_but_scores_otherwise(
    evaluate, tmp_path
):
    documents = {}
    for protocol in ("image", "medsa"):
        report = tmp_path / f"{protocol}.json"
        outcome = evaluate("--protocol", protocol, "--clicks", 1, "--json", report)
        assert outcome.code == 0
        documents[protocol] = json.loads(report.read_text())
    medsa = documents["medsa"]
    assert list(medsa["mean"]) == list(medsa["interval"]) == ["dice", "iou"]
    assert medsa["protocol"]["name"] == "medsa"
    assert medsa["protocol"]["size"] == "256 x 256, nearest"
    assert medsa["mean"]["dice"] != documents["image"]["mean"]["dice"]
    assert "Jaccard" not in outcome.out


def test_the_protocol_of_the_release_leaves_padding_out(predictor, monkeypatch):
    """A model that finds exactly the lesion scores 1 on an image that is not square."""
    mask = np.zeros((64, 128), bool)
    mask[16:48, 32:96] = True
    case = Case("wide", np.zeros((64, 128, 3), np.uint8), mask)
    answer = predictor.predict

    def perfect(embedding, prompts):
        prediction = answer(embedding, prompts)
        side = prediction.low_res_logits.shape[-1]
        logits = torch.full((1, 1, side, side), 9.0)  # padding is all lesion
        logits[..., : side // 2, :] = -9.0
        logits[..., side // 8 : 3 * side // 8, side // 4 : 3 * side // 4] = 9.0
        return replace(prediction, low_res_logits=logits)

    monkeypatch.setattr(predictor, "predict", perfect)
    (score,) = evaluate_medsa(predictor, case, n_clicks=1)
    assert score.dice == score.iou == (1.0,)


def test_unpaired_files_are_named_and_left_out(evaluate, folders):
    images, masks = folders
    write_image(images / "solo.png", draw_lesion(0, (96, 128)).image)
    write_mask(masks / "alone_segmentation.png", np.ones((4, 4), bool))
    outcome = evaluate()
    assert outcome.code == 0
    assert "without a mask: solo.png" in outcome.err
    assert "without an image: alone_segmentation.png" in outcome.err
    assert "Mean of 3 images" in outcome.out


def test_a_mask_of_another_size_and_a_broken_file_fail_alone(
    evaluate, folders, tmp_path
):
    images, masks = folders
    write_mask(masks / "ISIC_0000000.png", np.ones((50, 60), bool))
    (images / "ISIC_0000001.png").write_bytes(b"broken")
    outcome = evaluate("--json", tmp_path / "r.json")
    assert outcome.code == 1
    assert "is 60 x 50 pixels but" in outcome.err
    assert "2 of 3 images failed" in outcome.err
    assert "(ISIC_0000000.png, ISIC_0000001.png)" in outcome.err
    assert json.loads((tmp_path / "r.json").read_text())["n"] == 1


def test_a_single_pair_that_fails_is_the_users_mistake(evaluate, folders):
    images, masks = folders
    for seed in (1, 2):
        (images / f"ISIC_000000{seed}.png").unlink()
    for mask in masks.glob("*egmentation.png"):
        mask.unlink()
    (masks / "ISIC_0000000.png").write_bytes(b"")
    outcome = evaluate()
    assert (outcome.code, outcome.out) == (2, "")
    assert is_one_sentence(outcome.err)


def test_exchanged_folders_are_noticed(evaluate, folders):
    images, masks = folders
    for mask in masks.glob("*egmentation.png"):
        mask.rename(masks / f"{mask.stem[:12]}.png")
    outcome = evaluate(images=masks, masks=images)
    assert outcome.code == 1
    assert "looks like a photograph, not like a mask" in outcome.err


def test_folders_without_anything_in_common_are_refused(evaluate, folders, tmp_path):
    (tmp_path / "empty").mkdir()
    for images, masks in (
        (folders[0], tmp_path / "empty"),
        (tmp_path / "empty", folders[1]),
        (tmp_path / "nowhere", folders[1]),
        (folders[0], tmp_path / "nowhere"),
    ):
        outcome = evaluate(images=images, masks=masks)
        assert (outcome.code, outcome.out) == (2, "")
        assert is_one_sentence(outcome.err)


def test_a_report_that_cannot_be_written_is_refused_before_the_work(
    evaluate, folders, tmp_path
):
    for report in (tmp_path, folders[0] / "ISIC_0000000.png" / "r.json"):
        outcome = evaluate("--json", report)
        assert (outcome.code, outcome.out) == (2, "")
        assert is_one_sentence(outcome.err)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes")
def test_a_report_that_would_replace_a_device_is_refused_before_the_work(
    evaluate, tmp_path
):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    outcome = evaluate("--json", pipe)
    assert (outcome.code, outcome.out) == (2, "")
    assert is_one_sentence(outcome.err)
    assert pipe.is_fifo()


def test_scores_of_the_release_agree_with_counting_by_hand():
    """P16: a mask that passes three of five thresholds and overlaps by half."""
    target = np.zeros((4, 4), bool)
    target[0, :] = True  # 16384 of 65536 pixels
    logits = torch.full((1, 1, 2, 2), -1.0)
    logits[0, 0, 0, 0] = 0.6  # over 0.1, 0.3 and 0.5, not over 0.7 and 0.9
    dice, iou = medsa_scores(logits, target)
    # mask and lesion have 16384 pixels each, 8192 in common, 24576 in either
    assert dice == pytest.approx(3 / 5 * 1 / 2, abs=1e-8)
    assert iou == pytest.approx(3 / 5 * 1 / 3, abs=1e-8)


def test_scores_of_the_release_compare_logits_not_probabilities():
    everywhere = np.ones((2, 2), bool)
    assert medsa_scores(torch.full((1, 1, 2, 2), 0.05), everywhere)[0] < 1e-8
    assert medsa_scores(torch.full((1, 1, 2, 2), 0.95), everywhere) == (1.0, 1.0)


def test_smoothing_differs_between_dice_and_iou_of_the_release():
    empty = np.zeros((2, 2), bool)
    assert medsa_scores(torch.full((1, 1, 2, 2), -1.0), empty) == (1.0, 1.0)
    dice, iou = medsa_scores(torch.full((1, 1, 2, 2), 1.0), empty)
    assert dice == pytest.approx(1e-4 / (65536 + 1e-4))
    assert iou == pytest.approx(1e-6 / (65536 + 1e-6))


def test_a_soft_truth_is_cut_at_the_same_thresholds():
    logits = torch.full((1, 1, 2, 2), 2.0)
    dice, iou = medsa_scores(logits, np.full((2, 2), 0.4))
    assert dice == pytest.approx(2 / 5)
    assert iou == pytest.approx(2 / 5)


def test_clicks_in_the_center_need_no_seed(evaluate, tmp_path):
    files = [tmp_path / f"{n}.json" for n in range(2)]
    for seed, file in enumerate(files):
        outcome = evaluate("--policy", "center", "--seed", seed, "--json", file)
        assert outcome.code == 0
    one, other = (json.loads(file.read_text()) for file in files)
    assert one["mean"] == other["mean"]
    assert one["protocol"]["policy"] == "center"
    assert "inmost" in one["protocol"]["first_click"]
    several = evaluate("--policy", "center", "--seed", 0, "--seed", 1)
    assert several.code == 2
    assert is_one_sentence(several.err)
    assert "nothing is drawn" in several.err
    assert evaluate("--policy", "middle").code == 2


def test_the_policies_offered_are_those_of_the_simulator():
    from napari_glmedsa import simulation

    assert ClickPolicy == simulation.ClickPolicy


def test_the_release_scores_clicks_in_the_center_too(evaluate, tmp_path):
    report = tmp_path / "r.json"
    medsa = ("--protocol", "medsa", "--policy", "center")
    assert evaluate(*medsa, "--json", report).code == 0
    rules = json.loads(report.read_text())["protocol"]
    assert "inmost" in rules["first_click"]
    assert rules["size"] == "256 x 256, nearest"
    refused = evaluate(*medsa, "--hd95")
    assert refused.code == 2
    assert "measures no distances" in refused.err


def test_distances_of_outlines_are_shown_when_asked_for(evaluate, tmp_path):
    plain = evaluate("--clicks", 1)
    assert "Sensitivity" in plain.out
    assert "HD95" not in plain.out
    report = tmp_path / "r.json"
    outcome = evaluate("--clicks", 1, "--hd95", "--json", report)
    document = json.loads(report.read_text())
    assert "HD95 (px)" in outcome.out
    assert f"{document['mean']['hd95'][0]:.3f}" in outcome.out
    assert "diagonal" in document["protocol"]["hd95"]
    assert max(map(len, outcome.out.splitlines())) <= 80


def test_the_sheet_has_a_row_for_each_image_and_click(evaluate, tmp_path):
    report, sheet = tmp_path / "r.json", tmp_path / "new folder" / "scores.csv"
    outcome = evaluate("--clicks", 2, "--hd95", "--json", report, "--csv", sheet)
    assert outcome.code == 0
    images = json.loads(report.read_text())["images"]
    with sheet.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["image"], row["clicks"]) for row in rows] == [
        (image["id"], click) for image in images for click in ("1", "2")
    ]
    for row in rows:
        image = next(image for image in images if image["id"] == row["image"])
        for metric in image.keys() - {"id"}:
            assert float(row[metric]) == image[metric][int(row["clicks"]) - 1]


def test_a_sheet_that_cannot_be_written_is_told_before_the_work(evaluate, tmp_path):
    outcome = evaluate("--csv", tmp_path)
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)
    assert "name a file for --csv" in outcome.err
