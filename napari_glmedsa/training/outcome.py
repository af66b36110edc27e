"""What comes of a run: the best weights, judged, with their origin, registered."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_glmedsa.activation import ActiveModel
from napari_glmedsa.adapters import AdapterCard, input_contract, save_adapter
from napari_glmedsa.adapters.checkpoint import has_decoder
from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.evaluation import Case, dice, replay_clicks
from napari_glmedsa.files import write_json
from napari_glmedsa.inference import Predictor
from napari_glmedsa.registry import ModelRegistry, ModelSpec, write_base
from napari_glmedsa.tensors import write_safetensors
from napari_glmedsa.training.gallery import (
    GALLERY_SIZE,
    GalleryItem,
    shrink,
    shrink_mask,
    write_gallery,
)
from napari_glmedsa.training.gate import GateResult, compare
from napari_glmedsa.training.plan import base_input, data_hashes
from napari_glmedsa.training.trainer import Trainer

if TYPE_CHECKING:
    from napari_glmedsa.project import Split
    from napari_glmedsa.training.run import TrainingRun


class Outcome:
    """The weights of a run on their way into the registry.

    Parameters
    ----------
    run, registry
        Where the weights come from and where they go.
    trainer
        Holds the model.
    base_sha256
        Names the base that was loaded.
    """

    def __init__(
        self,
        run: "TrainingRun",
        registry: ModelRegistry,
        trainer: Trainer,
        *,
        base_sha256: str,
    ) -> None:
        self.run, self.registry, self.trainer = run, registry, trainer
        self.plan, self.project = run.plan, run.project
        self._base_sha256 = base_sha256
        parent = self.plan.start.adapter
        path = registry.adapter_path(parent) if parent else None
        has_own = path is not None and has_decoder(path)
        self._keeps_decoder = self.plan.config.trains_decoder or has_own
        self._before: tuple[Predictor, ModelSpec] | None = None

    def save(self, result: GateResult | None = None) -> None:
        """Write the model's weights into the run's folder, as the best so far."""
        sam = self.trainer.sam
        if self.plan.config.trains == "full":
            tensors = {name: t.cpu() for name, t in sam.state_dict().items()}
            write_safetensors(self.run.folder / "model.safetensors", tensors)
            return
        facts = self._facts(result)
        card = AdapterCard(
            name=self.plan.name,
            base_model=self.plan.start.base,
            base_sha256=self._base_sha256,
            config=self.plan.config.adapter,
            preprocess=input_contract(sam),
            training=facts["training"],
            metrics=facts["metrics"],
            licence=facts["licence"],
            description=facts["description"],
            created=self.plan.created,
        )
        decoder = sam.mask_decoder if self._keeps_decoder else None
        save_adapter(
            self.run.adapter_path, sam.image_encoder, card, mask_decoder=decoder
        )

    def judge(self, on_case: Callable[[int], None]) -> GateResult:
        """Compare with the old model on held-out images; write ``gate.json``."""
        before, model = self._old_model()
        result = compare(
            before,
            self._new_model(like=before),
            self._cases(self.plan.held_out),
            split=self.plan.held_out,
            before_model=str(model),
            after_model=self.plan.name,
            on_case=on_case,
        )
        write_json(self.run.gate_path, result.to_json())
        return result

    def draw_gallery(self, check: Callable[[], None]) -> None:
        """Write validation images with the old and the new answer to one click."""
        ids = self.plan.images["val"]
        step = max(1, len(ids) // GALLERY_SIZE)
        before, items = self._old_model()[0], []
        after = self._new_model(like=before)
        for image_id in ids[::step][:GALLERY_SIZE]:
            check()
            case = next(self._objects(image_id), None)
            if case is None:
                continue
            old, new = (
                next(replay_clicks(model, case, n_clicks=1)).mask
                for model in (before, after)
            )
            items.append(
                GalleryItem(
                    image_id,
                    image=shrink(case.image),
                    before=shrink_mask(old),
                    after=shrink_mask(new),
                    truth=shrink_mask(case.mask),
                    dice_before=dice(old, case.mask),
                    dice_after=dice(new, case.mask),
                )
            )
        write_gallery(self.run.folder, items)

    def register(self, result: GateResult) -> tuple[ModelSpec, str]:
        """Put the model into the registry, and into use if the gate says so.

        A run that was killed after registering finds its model there.

        Returns
        -------
        spec
            The new model.
        message
            The last word of the run.
        """
        spec = self._registered() or self._add(result)
        return spec, f"{result.sentence} {self._activate(spec, result)}"

    def _add(self, result: GateResult) -> ModelSpec:
        day = self.plan.created[:10].replace("-", "")
        name = self.registry.new_name(f"{self.plan.name}-{day}")
        if self.plan.config.trains == "full":
            tensors = {n: t.cpu() for n, t in self.trainer.sam.state_dict().items()}
            folder = self.registry.root / "base" / name
            facts = self._facts(result)
            if switches := base_input(self.registry, self.plan.start.base):
                facts["input"] = switches
            write_base(folder, tensors, **facts)
            return ModelSpec(name)
        self.save(result)
        self.registry.add_adapter(self.run.adapter_path, name=name)
        return ModelSpec(self.plan.start.base, name)

    def _registered(self) -> ModelSpec | None:
        for card in self.registry.adapters():
            if card.training.get("run") == self.run.id:
                return ModelSpec(self.plan.start.base, card.name)
        for base in self.registry.bases():
            training = base.facts.get("training")
            if isinstance(training, dict) and training.get("run") == self.run.id:
                return ModelSpec(base.name)
        return None

    def _activate(self, spec: ModelSpec, result: GateResult) -> str:
        active = ActiveModel(self.registry)
        current = active.current()
        if current == spec:
            return f"{spec} is in use."
        if self.plan.activation == "never" or not result.activate:
            return f"It is registered as {spec}; {current} stays in use."
        if str(current) != result.before_model:
            return (
                f"It is registered as {spec}; {current}, which it was not compared "
                "with, stays in use."
            )
        active.activate(spec)
        return f"{spec} is now in use."

    def _old_model(self) -> tuple[Predictor, ModelSpec]:
        """Load the model to compare with; the bare base if it is gone meanwhile."""
        if self._before is not None:
            return self._before
        spec = self.plan.compare_with
        try:
            predictor = self.registry.load(spec, device=self.trainer.device)
        except GLMedSAError:
            spec = ModelSpec(self.plan.start.base)
            predictor = self.registry.load(spec, device=self.trainer.device)
        self._before = predictor, spec
        return self._before

    def _new_model(self, *, like: Predictor) -> Predictor:
        return Predictor(
            self.trainer.sam, fingerprint=self.run.id, precision=like.precision
        )

    def _cases(self, split: "Split") -> Iterator[Case]:
        for image_id in self.plan.images[split]:
            yield from self._objects(image_id)

    def _objects(self, image_id: str) -> Iterator[Case]:
        image = self.project.image(image_id)
        label_map = self.project.label_map(image_id)
        labels = self.project.labels(image_id)
        for label in labels:
            name = image_id if len(labels) == 1 else f"{image_id}#{label}"
            yield Case(name, image, np.asarray(label_map == label))

    def _facts(self, result: GateResult | None) -> dict[str, Any]:
        """Return what cards of adapters and bases say about origin and quality."""
        plan, trainer = self.plan, self.trainer
        parent = None
        if plan.start.adapter is not None:
            parent = {"name": plan.start.adapter, "sha256": plan.parent_sha256}
        now = data_hashes(self.project, plan.images)
        changed = [split for split in now if now[split] != plan.data_sha256[split]]
        metrics: dict[str, Any] = {
            "validation": {"dice": trainer.best_dice, "epoch": trainer.best_epoch}
        }
        if result is not None:
            summary = result.to_json()
            del summary["images"]
            metrics["gate"] = summary
        return {
            "description": f"Fine-tuned on {plan.counts['train']} images of "
            f"{self.project.name}",
            "licence": self._licence(),
            "training": {
                "run": self.run.id,
                "project": self.project.name,
                "base": {"name": plan.start.base, "sha256": self._base_sha256},
                "parent": parent,
                "data": {
                    "sha256": dict(plan.data_sha256),
                    "counts": plan.counts,
                    "changed_meanwhile": changed,
                },
                "config": plan.config.to_json(),
                "steps": trainer.step,
                "code_version": plan.code_version,
                "packages": dict(plan.packages),
            },
            "metrics": metrics,
        }

    def _licence(self) -> str:
        """Return what the ancestors allow; the user's own images come on top."""
        start = self.plan.start
        found = {
            f"{card.name}: {card.licence}"
            for card in self.registry.bases()
            if card.name == start.base and card.licence
        }
        found |= {
            f"{card.name}: {card.licence}"
            for card in self.registry.adapters()
            if card.name == start.adapter and card.licence
        }
        inherited = "; ".join(sorted(found)) or "unknown"
        return (
            f"as the images it was trained on, and as its origin allows ({inherited})"
        )
