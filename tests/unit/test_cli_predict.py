import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from bomb import Bomb
from command import Outcome, glmedsa, is_one_sentence
from PIL import Image
from safetensors.torch import save_file

from napari_glmedsa import __version__
from napari_glmedsa.cli.share import Share
from napari_glmedsa.evaluation import dice
from napari_glmedsa.images import read_image, read_mask, write_image
from napari_glmedsa.inference import Predictor
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.samples import draw_lesion

CENTRE = "No --point given: clicking the image centre.\n"
JSON_KEYS = [
    *("image", "mask", "iou_prediction", "area_px"),
    *("encode_seconds", "decode_seconds", "model", "precision"),
]


@pytest.fixture
def predict(tmp_path, registry: ModelRegistry, monkeypatch, capsys, lesion):
    """Runs predict with the tiny model; a.png and b.png are photographs."""
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(registry.root))
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name, lesion.image)

    def run(*arguments: object, model="sam_tiny+tiny_adapter", output="out") -> Outcome:
        options = ("--model", model, "--output", output)
        return glmedsa(capsys, "predict", *arguments, *options)

    return run


def unwritable_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    # Nothing is locked for root, but /proc takes no files from anybody.
    return Path("/proc/self") if os.access(folder, os.W_OK) else folder


def test_a_click_gives_a_mask_of_the_images_size_named_after_it(predict, tmp_path):
    outcome = predict("a.png", "--point", "60,40", "--negative", "3,3")
    assert outcome.code == 0
    with Image.open(tmp_path / "out" / "a_segmentation.png") as mask:
        assert (mask.mode, mask.size, mask.format) == ("L", (128, 96), "PNG")
        assert set(np.unique(mask)) <= {0, 255}
    assert "a.png -> out/a_segmentation.png" in outcome.out
    assert outcome.err == ""
    assert [path.name for path in (tmp_path / "out").iterdir()] == [
        "a_segmentation.png"
    ]


def test_the_built_in_model_finds_a_drawn_lesion(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(tmp_path / "none"))
    sample = draw_lesion()
    write_image(tmp_path / "lesion.png", sample.image)
    rows, columns = np.nonzero(sample.mask)
    click = f"{columns.mean():.1f},{rows.mean():.1f}"
    outcome = glmedsa(
        capsys,
        *("predict", tmp_path / "lesion.png", "--point", click),
        *("--output", tmp_path, "--json"),
    )
    assert outcome.code == 0
    mask = read_mask(tmp_path / "lesion_segmentation.png")
    assert dice(mask, sample.mask) > 0.8
    assert json.loads(outcome.out)["model"] == "sam_vit_mini+glmedsa_vit_mini_isic"


def test_json_is_one_object_per_image_and_nothing_else_on_stdout(predict):
    outcome = predict("a.png", "b.png", "--point", "60,40", "--json")
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert [list(line) for line in lines] == [JSON_KEYS, JSON_KEYS]
    assert [line["image"] for line in lines] == ["a.png", "b.png"]
    assert lines[0]["model"] == "sam_tiny+tiny_adapter"
    assert lines[0]["area_px"] == int(read_mask(Path(lines[0]["mask"])).sum())
    assert lines[0]["encode_seconds"] > 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_encoder_computes_in_the_precision_asked_for(predict, precision):
    outcome = predict("a.png", "--precision", precision, "--json")
    assert json.loads(outcome.out)["precision"] == precision


def test_a_precision_that_there_is_not_is_refused(predict):
    outcome = predict("a.png", "--precision", "fp8")
    assert (outcome.code, outcome.out) == (2, "")
    assert is_one_sentence(outcome.err)
    assert "fp8" in outcome.err


def test_without_a_click_the_centre_is_clicked_and_that_is_said(predict):
    by_default = predict("a.png")
    assert "clicking the image centre" in by_default.err
    default_mask = read_mask(Path("out/a_segmentation.png"))
    by_hand = predict("a.png", "--point", "63.5,47.5")
    assert by_hand.err == ""
    assert np.array_equal(default_mask, read_mask(Path("out/a_segmentation.png")))


def test_a_box_is_enough_to_segment(predict):
    outcome = predict("a.png", "--box", "30,20,100,80")
    assert (outcome.code, outcome.err) == (0, "")


def test_a_background_click_changes_the_mask(predict):
    predict("a.png", "--point", "60,40", "--json")
    before = read_mask(Path("out/a_segmentation.png"))
    predict("a.png", "--point", "60,40", "--negative", "100,80")
    assert (before ^ read_mask(Path("out/a_segmentation.png"))).any()


def test_several_images_show_progress_on_stderr(predict):
    outcome = predict("a.png", "b.png", "--point", "60,40")
    assert "Segmenting" in outcome.err
    assert "2/2" in outcome.err
    assert outcome.out.count("\n") == 2


def test_an_overlay_is_written_when_asked_for(predict, tmp_path):
    assert predict("a.png", "--overlay").code == 0
    overlay = read_image(tmp_path / "out" / "a_overlay.png")
    assert overlay.shape == (96, 128, 3)
    assert (overlay != read_image(tmp_path / "a.png")).any()


def test_a_folder_stands_for_the_photographs_in_it(predict, tmp_path):
    (tmp_path / "notes.txt").write_text("not an image")
    assert predict("a.png", "--overlay", output=tmp_path).code == 0
    outcome = predict(tmp_path, "--json")
    names = [Path(json.loads(line)["image"]).name for line in outcome.out.splitlines()]
    assert names == ["a.png", "b.png"]


def test_an_image_named_twice_is_segmented_once(predict, tmp_path):
    outcome = predict("a.png", tmp_path / "a.png", "--json")
    assert outcome.out.count("\n") == 1


@pytest.mark.parametrize("exif_ending", [".jpg", ".tif"])
def test_a_rotated_photograph_gets_a_mask_as_it_is_seen(
    predict, tmp_path, lesion, exif_ending: str
):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(lesion.image).save(tmp_path / f"r{exif_ending}", exif=exif)
    assert predict(f"r{exif_ending}", "--point", "90,120").code == 0
    assert read_mask(tmp_path / "out" / "r_segmentation.png").shape == (128, 96)


def test_a_cmyk_file_and_an_image_of_one_pixel_work(predict, tmp_path, lesion):
    Image.fromarray(lesion.image).convert("CMYK").save(tmp_path / "c.jpg")
    Image.new("RGB", (1, 1)).save(tmp_path / "one.png")
    assert predict("c.jpg", "one.png", "--overlay").code == 0
    assert read_mask(tmp_path / "out" / "one_segmentation.png").shape == (1, 1)


def test_a_hundred_megapixels_work(predict, tmp_path):
    Image.new("L", (12_500, 8_000), 99).save(tmp_path / "big.png", compress_level=1)
    assert predict("big.png", "--point", "12000,7000").code == 0
    mask = read_mask(tmp_path / "out" / "big_segmentation.png")
    assert mask.shape == (8_000, 12_500)


def make_bad_files(folder: Path) -> None:
    whole = (folder / "a.png").read_bytes()
    (folder / "text.png").write_text("this is no image")
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").touch()
    nan = np.full((9, 9), np.nan, np.float32)
    Image.fromarray(nan).save(folder / "nan.tif")
    pages = [Image.new("L", (9, 9)) for _ in range(3)]
    pages[0].save(folder / "stack.tif", save_all=True, append_images=pages[1:])
    colours = np.zeros((9, 9, 3), np.float32)
    tifffile.imwrite(folder / "lost.tif", colours, photometric="rgb")
    with tifffile.TiffFile(folder / "lost.tif", mode="r+") as lost:
        lost.pages.first.tags["ImageLength"].overwrite(0)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("text.png", "is not an image"),
        ("cut.png", "is damaged or cut off"),
        ("empty.png", "is empty"),
        ("nan.tif", "NaN"),
        ("stack.tif", "holds 3 images"),
        ("lost.tif", "is damaged or cut off"),
        ("missing.png", "There is no file"),
    ],
)
def test_a_bad_image_alone_is_the_users_mistake(predict, tmp_path, name, reason):
    make_bad_files(tmp_path)
    outcome = predict(name, "--point", "2,2")
    assert (outcome.code, outcome.out) == (2, "")
    assert is_one_sentence(outcome.err)
    assert name in outcome.err
    assert reason in outcome.err
    assert list((tmp_path / "out").iterdir()) == []


def test_bad_images_among_good_ones_are_named_and_the_rest_is_written(
    predict, tmp_path
):
    make_bad_files(tmp_path)
    outcome = predict("a.png", "cut.png", "lost.tif", "b.png", "empty.png", "--json")
    assert outcome.code == 1
    assert [json.loads(line)["image"] for line in outcome.out.splitlines()] == [
        *("a.png", "b.png")
    ]
    assert "3 of 5 images failed (cut.png, lost.tif, empty.png)" in outcome.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("a_segmentation.png", "b_segmentation.png")
    }


def test_several_images_that_all_fail_are_failures_not_a_mistake(predict, tmp_path):
    make_bad_files(tmp_path)
    outcome = predict("cut.png", "empty.png")
    assert (outcome.code, outcome.out) == (1, "")
    assert "2 of 2 images failed" in outcome.err


@pytest.mark.parametrize("point", ["-3,5", "128,5", "5,96", "1e9,5"])
def test_a_click_outside_the_image_is_refused(predict, tmp_path, point):
    outcome = predict("a.png", "--point", point)
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)
    assert "outside the image, which is 128 pixels wide and 96 high" in outcome.err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "option",
    [
        *(("--point", "3"), ("--point", "3,4,5"), ("--point", "a,b")),
        *(("--negative", "nan,3"), ("--point", "inf,1"), ("--point", "")),
        *(("--box", "1,2,3"), ("--box", "9,2,3,8"), ("--box", "200,200,300,300")),
    ],
)
def test_malformed_clicks_and_boxes_are_explained(predict, option):
    outcome = predict("a.png", *option)
    assert (outcome.code, outcome.out) == (2, "")
    assert is_one_sentence(outcome.err)


def test_a_click_slightly_left_of_the_first_pixels_centre_is_inside(predict):
    assert predict("a.png", "--point", "-0.4,5").code == 0


def test_two_images_of_one_name_are_refused_before_anything_is_written(
    predict, tmp_path, lesion
):
    (tmp_path / "other").mkdir()
    write_image(tmp_path / "other" / "A.png", lesion.image)
    outcome = predict("a.png", "other/A.png")
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)
    assert "would both be written to A_segmentation.png" in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_mask_that_somebody_else_made_is_not_replaced(predict, tmp_path):
    (tmp_path / "out").mkdir()
    theirs = tmp_path / "out" / "a_segmentation.png"
    Image.new("L", (128, 96), 255).save(theirs)
    before = theirs.read_bytes()
    outcome = predict("a.png")
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)
    assert theirs.read_bytes() == before


def test_our_own_earlier_mask_is_replaced(predict):
    assert predict("a.png", "--overlay").code == 0
    assert predict("a.png", "--overlay").code == 0


@pytest.mark.parametrize("kind", ["locked", "file", "below a file"])
def test_an_unwritable_output_folder_is_refused_before_the_work(
    predict, tmp_path, kind: str
):
    folder = {
        "locked": unwritable_folder(tmp_path),
        "file": tmp_path / "a.png",
        "below a file": tmp_path / "a.png" / "out",
    }[kind]
    before = sorted(path.name for path in tmp_path.iterdir())
    outcome = predict("b.png", output=folder)
    assert (outcome.code, outcome.out) == (2, "")
    assert is_one_sentence(outcome.err)
    assert "cannot be written to" in outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


LONG = "x" * 300  # longer than any file system's names: every look at it fails


@pytest.mark.parametrize("where", ["image", "folder", "model", "adapter", "registry"])
def test_a_path_that_the_system_refuses_is_one_sentence(predict, monkeypatch, where):
    image, output, model = "a.png", "out", "sam_tiny"
    if where == "image":
        image = f"{LONG}.png"
    elif where == "folder":
        output = LONG
    elif where == "model":
        model = f"{LONG}.pth"
    elif where == "adapter":
        model = f"sam_tiny+{LONG}.safetensors"
    else:
        monkeypatch.setenv("NAPARI_GLMEDSA_HOME", f"/{LONG}")
    outcome = predict(image, "--point", "2,2", output=output, model=model)
    assert (outcome.code, outcome.out) == (2, "")
    assert is_one_sentence(outcome.err)


def test_a_photograph_whose_result_would_have_too_long_a_name_fails_alone(
    predict, tmp_path, lesion
):
    name = "y" * 245
    write_image(tmp_path / f"{name}.png", lesion.image)
    outcome = predict("a.png", f"{name}.png", "--json")
    assert outcome.code == 1
    assert "shorter name" in outcome.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == [
        "a_segmentation.png"
    ]


def test_links_that_lead_nowhere_are_one_sentence(predict, tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "gone.png").symlink_to("nothing.png")
    for name in ("loop.png", "gone.png"):
        outcome = predict(name)
        assert outcome.code == 2
        assert is_one_sentence(outcome.err.removeprefix(CENTRE))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_under_stdout_is_one_sentence(predict, registry):
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(
            [
                *(sys.executable, "-m", "napari_glmedsa", "predict", "a.png"),
                *("--model", "sam_tiny", "--output", "out", "--json"),
            ],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert finished.returncode == 2
    assert is_one_sentence(finished.stderr.removeprefix(CENTRE))


def test_an_empty_folder_is_refused(predict, tmp_path):
    (tmp_path / "nothing").mkdir()
    outcome = predict("nothing")
    assert outcome.code == 2
    assert "There is no image in nothing" in outcome.err


def test_a_pickle_instead_of_weights_is_refused_and_never_run(predict, tmp_path):
    for name in ("evil.pth", "evil.safetensors"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    for model in ("evil.pth", "evil.safetensors", "sam_tiny+evil.safetensors"):
        outcome = predict("a.png", "--point", "2,2", model=model)
        assert outcome.code == 2
        assert is_one_sentence(outcome.err)
    assert not (tmp_path / "exploded").exists()


def test_an_adapter_of_another_base_is_refused_by_its_hash(
    predict, tmp_path, registry, tiny_sam
):
    changed = {name: value.clone() for name, value in tiny_sam.state_dict().items()}
    changed["image_encoder.pos_embed"] += 1
    save_file(changed, tmp_path / "other.safetensors")
    outcome = predict("a.png", "--point", "2,2", model="other.safetensors+tiny_adapter")
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)
    assert predict("a.png", model="other.safetensors").code == 0


@pytest.mark.parametrize(
    ("model", "device"),
    [
        *(("nonsense", "cpu"), ("sam_tiny+nonsense", "cpu"), ("+", "cpu")),
        *(("sam_tiny", "abacus"), ("sam_tiny", "cuda:99")),
    ],
)
def test_unknown_models_and_devices_are_explained(predict, model, device):
    outcome = predict("a.png", "--device", device, model=model)
    assert (outcome.code, outcome.out) == (2, "")
    assert is_one_sentence(outcome.err)


def test_model_and_adapter_may_be_file_paths(predict, registry):
    base = registry.root / "base" / "sam_tiny" / "model.safetensors"
    adapter = registry.root / "adapters" / "tiny_adapter" / "adapter.safetensors"
    predict("a.png", "--point", "60,40")
    by_name = read_mask(Path("out/a_segmentation.png"))
    outcome = predict("a.png", "--point", "60,40", model=f"{base}+{adapter}")
    assert outcome.code == 0
    assert np.array_equal(by_name, read_mask(Path("out/a_segmentation.png")))


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "a.png"),
        ("predict", "--output", "out"),
        ("predict", "a.png", "--output", "out", "--colour"),
        ("evaluate", "--images", ".", "--masks", ".", "--clicks", "none"),
        ("diagnose",),
    ],
)
def test_a_wrong_command_line_is_explained_in_one_sentence(capsys, arguments):
    outcome = glmedsa(capsys, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert is_one_sentence(outcome.err)
    assert "--help tells more" in outcome.err


def test_version_and_help_come_without_torch(capsys):
    assert glmedsa(capsys, "--version").out == f"glmedsa {__version__}\n"
    check = (
        "import sys; from napari_glmedsa.cli.app import run; code = run(['--help']);"
        " sys.exit(code or 'torch' in sys.modules or 'numpy' in sys.modules)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    )
    for command in ("predict", "evaluate", "doctor", "demo"):
        assert command in finished.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_control_c_ends_it_quietly(predict, tmp_path, registry):
    copies = [tmp_path / f"copy{index}.png" for index in range(400)]
    for copy in copies:
        os.link(tmp_path / "a.png", copy)
    command = [sys.executable, "-m", "napari_glmedsa", "predict", *map(str, copies)]
    process = subprocess.Popen(
        [*command, "--model", "sam_tiny", "--output", "many"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        # a shell that runs the tests in the background makes them ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and not list(tmp_path.glob("many/*.png")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert not [path for path in (tmp_path / "many").iterdir() if path.name[0] == "."]


@pytest.mark.parametrize("model", ["no_such_model", "sam_tiny+no_such_adapter"])
def test_a_model_that_is_not_there_leaves_no_folder_behind(predict, tmp_path, model):
    outcome = predict("a.png", model=model)
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)
    assert not (tmp_path / "out").exists()


def test_reading_and_writing_overlap_with_the_encoding(predict, tmp_path, monkeypatch):
    """Each photograph waits for the next one to be read, and all are done in order."""
    names = [f"n{index}.png" for index in range(4)]
    for name in names:
        os.link(tmp_path / "a.png", tmp_path / name)
    read = {name: threading.Event() for name in names}
    encoder = Predictor.encode
    encoded: list[str] = []

    def read_and_tell(path: Path):
        pixels = read_image(path)
        read[path.name].set()
        return pixels

    def encode_when_the_next_is_read(predictor, image):
        if len(encoded) + 1 < len(names):
            assert read[names[len(encoded) + 1]].wait(20)
        encoded.append(names[len(encoded)])
        ahead = [name for name in names if read[name].is_set()]
        assert len(ahead) <= len(encoded) + 1  # bounded: never more than one ahead
        return encoder(predictor, image)

    monkeypatch.setattr("napari_glmedsa.images.read_image", read_and_tell)
    monkeypatch.setattr(Predictor, "encode", encode_when_the_next_is_read)
    outcome = predict(*names, "--json")
    assert outcome.code == 0
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert [line["image"] for line in lines] == names


def test_processes_share_the_images_and_none_is_done_twice(
    predict, tmp_path, monkeypatch
):
    names = [f"s{index}.png" for index in range(5)]
    for name in names:
        os.link(tmp_path / "a.png", tmp_path / name)
    monkeypatch.setenv("WORLD_SIZE", "3")
    done = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        outcome = predict(*names, "--json")
        assert outcome.code == 0
        assert ("No --point given" in outcome.err) == (rank == 0)
        done.append([json.loads(line)["image"] for line in outcome.out.splitlines()])
    assert [len(part) for part in done] == [2, 2, 1]
    assert sorted(name for part in done for name in part) == names


def in_two_processes(folder, *names):
    """Let accelerate start two processes: what they are told comes from it."""
    command = [
        *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"),
        *("--num_processes", "2", "--num_machines", "1", "--main_process_port", "0"),
        *("--mixed_precision", "no", "--dynamo_backend", "no"),
        *("-m", "napari_glmedsa", "predict", *names, "--output", "out", "--json"),
        *("--model", "sam_tiny+tiny_adapter", "--device", "cpu"),
    ]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.usefixtures("predict")
def test_a_process_whose_images_fail_does_not_end_the_other_one(tmp_path):
    large = tmp_path / "large.png"  # so that the other one is long done
    Image.new("RGB", (8000, 6000)).save(large)
    names = [f"s{index:02}.png" for index in range(12)]
    for index, name in enumerate(names):
        if index % 2:
            os.link(large, tmp_path / name)
        else:
            (tmp_path / name).write_text("no image")
    done = in_two_processes(tmp_path, *names)
    assert done.returncode != 0
    told = [json.loads(line)["image"] for line in done.stdout.splitlines()]
    assert told == names[1::2]
    assert "6 of 6 images failed" in done.stderr


@pytest.mark.usefixtures("predict")
def test_two_processes_that_accelerate_starts_do_every_image_once(tmp_path):
    names = [f"s{index}.png" for index in range(5)]
    for name in names:
        os.link(tmp_path / "a.png", tmp_path / name)
    done = in_two_processes(tmp_path, *names)
    assert done.returncode == 0, done.stderr[-3000:]
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(line["image"] for line in told) == names
    masks = {read_mask(tmp_path / line["mask"]).tobytes() for line in told}
    assert len(masks) == 1
    assert done.stderr.count("No --point given") == 1
    assert "2/2" in done.stderr  # the second process had two images,
    assert "3/3" in done.stderr  # and the first had three


def test_a_process_without_an_image_of_its_own_does_nothing(predict, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "2")
    outcome = predict("a.png", "b.png", model="not loaded")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


@pytest.mark.parametrize(
    ("rank", "size"), [("3", "3"), ("-1", "2"), ("one", "2"), ("0", "0"), ("", "2")]
)
def test_a_rank_that_makes_no_sense_is_refused(predict, monkeypatch, rank, size):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    outcome = predict("a.png")
    assert (outcome.code, outcome.out) == (2, "")
    assert is_one_sentence(outcome.err)


def test_every_process_of_a_machine_takes_a_graphics_card_of_its_own(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    devices = [Share(rank, 6, rank % 3).device("auto") for rank in range(6)]
    assert devices == [*("cuda:0", "cuda:1", "cuda:0")] * 2
    assert Share(1, 2, 1).device("cpu") == "cpu"
    assert Share().device("auto") == "auto"
