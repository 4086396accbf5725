"""features.npz: what it holds, how it is made, and what can be wrong with it."""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nlvr2_on_disk import SKILLS, write_folder
from torch import Tensor

from nacgraph.tasks.data_report import DataError
from nacgraph.tasks.nlvr2 import NLVR2
from nacgraph.tasks.nlvr2.clip import Clip, clip_features

T, D, E = 5, 6, 7


class Tiny:
    """A stand-in for a CLIP: the mean colours tell its images apart, the letters its sentences."""

    def images(self, pictures: Sequence[Any]) -> Tensor:
        means = [np.asarray(p.convert("RGB"), np.float32).mean((0, 1)) / 255 for p in pictures]
        return torch.tensor(np.array(means)).repeat(1, 2)[:, None] * torch.arange(1, T + 1)[:, None]

    def sentences(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        counts = torch.tensor([len(text.split()) for text in texts])
        states = torch.zeros(len(texts), int(counts.max()), E)
        for row, text in enumerate(texts):
            for k, word in enumerate(text.split()):
                states[row, k] = len(word)
        return states, counts


def made(folder: Path, text: bool = False) -> Path:
    write_folder(folder, {"train": 20, "dev": 2})
    (folder / "annotated_dev_examples.txt").write_text(SKILLS, encoding="utf-8")
    return clip_features(folder, folder / "out", "unused", text, batch_size=16, backbone=Tiny())


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize("text", [False, True])
def test_features_give_the_samples_of_the_folder(tmp_path: Path, text: bool) -> None:
    path = made(tmp_path, text)
    assert path == tmp_path / "out" / "features.npz"
    assert [p.name for p in path.parent.iterdir()] == ["features.npz"]
    task, folder = NLVR2(data=path), NLVR2(data=tmp_path, image_size=8, patch=4)
    for split in ("train", "val", "test"):
        table, wanted = task.table(split), folder.table(split)
        assert table.tags == wanted.tags
        assert np.array_equal(table.labels, wanted.labels)
    batch = next(task.eval_batches("val"))
    assert batch.inputs.shape[1:] == (2, T, D) and batch.inputs.dtype == torch.float32
    assert batch.condition is not None and batch.condition_mask is not None
    assert batch.condition.shape[2] == (E if text else 2)
    if text:
        said = task.table("val").columns["sentence"][int(batch.index[0])].split()
        assert batch.condition_mask[0].sum() == len(said)
        assert batch.condition[0, : len(said), 0].tolist() == [len(word) for word in said]
    tokens, mask = task.tokenizer(16)(batch)
    assert tokens.shape == (len(batch), 2 * T, 16) and mask.all()
    words, real = task.conditioner(16)(batch)
    assert torch.equal(real, batch.condition_mask) and not words[~real].any()
    assert task.dummy_batch(2, 9, torch.Generator()).inputs.shape == (2, 2, T, D)
    NLVR2(data=path.parent).load()  # the folder does too


def test_a_run_on_features_wants_features_of_its_shape(tmp_path: Path) -> None:
    path = made(tmp_path)
    signature = NLVR2(data=path).data_signature()
    NLVR2(data=path).match_sizes(signature)
    other = NLVR2(data=tmp_path, image_size=8, patch=4)
    with pytest.raises(ValueError, match=r"expected features \[5, 6\] as in the run, got images"):
        other.match_sizes(signature)
    with pytest.raises(ValueError, match=r"expected features images as in the run, got \[5, 6\]"):
        NLVR2(data=path).match_sizes(other.data_signature())
    # Images of files are brought to the size of the run.
    other.match_sizes({**other.data_signature(), "image_size": 12})
    assert next(other.eval_batches("val")).inputs.shape[2:] == (3, 12, 12)


def test_all_damage_is_listed(tmp_path: Path) -> None:
    path = made(tmp_path)
    arrays = arrays_of(path)
    rows = [
        int(np.flatnonzero(arrays["identifiers"] == name)[0])
        for name in ("dev-0-0-0", "dev-0-0-1", "dev-0-1-0")
    ]
    lost = int(np.flatnonzero(arrays["images"] == "dev-1-0-img1")[0])
    arrays["features"][lost, 2, 3] = np.nan
    arrays["labels"][rows[0]] = "yes"
    arrays["sentences"][rows[1]] = ""
    arrays["identifiers"][rows[2]] = "dev-9-0-0"
    np.savez(path, **arrays)
    data, found = NLVR2(data=path).check()
    assert data is not None
    assert found.damage == [
        f"{path}, row {lost}: features: expected finite numbers, got NaN or infinity "
        "(dev-1-0-img1)",
        f'{path}, row {rows[0]}: label: expected the text "True" or "False", got \'yes\'',
        f"{path}, row {rows[1]}: sentence: expected words, got ''",
        f"{path}, row {rows[2]}: expected features of its image dev-9-0-img0, got none",
    ]
    assert len(data.splits["test"]) == 8 - 3 - 2
    with pytest.raises(DataError, match=f"row {lost}: features: expected finite numbers"):
        NLVR2(data=path).load()


def test_wrong_arrays_are_named(tmp_path: Path) -> None:
    path = made(tmp_path, text=True)
    good = arrays_of(path)
    for changed, message in (
        ({"sentences": None}, "expected an array sentences, got"),
        ({"word_rows": None}, "expected an array word_rows beside words"),
        ({"features": good["features"][0]}, "expected features of shape"),
        ({"features": good["features"].astype(int)}, "expected features of shape"),
        ({"images": good["images"][1:]}, "expected 88 images, one for each row"),
        ({"labels": good["labels"][1:]}, r"expected labels of shape \(88,\), got \(87,\)"),
        ({"words": good["words"][0]}, "expected words of shape"),
        ({"word_counts": good["word_counts"] * 0}, "row 0: word_counts: expected 1 to 9, got 0"),
        ({"word_rows": good["word_rows"] + 2}, "row 0: word_rows: expected 0 to 1, got"),
        ({"words": np.full_like(good["words"], np.inf)}, "row 0: words: expected finite numbers"),
    ):
        arrays = {k: v for k, v in {**good, **changed}.items() if v is not None}
        np.savez(path, **arrays)
        with pytest.raises(DataError, match=message):
            NLVR2(data=path).load()


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "features.npz"
    for content, message in (
        (
            b"<!DOCTYPE html><html>gone</html>",
            "expected an npz of plain arrays, got a page of HTML",
        ),
        (b"PK\x03\x04 cut short", "expected an npz of plain arrays, got b'PK"),
        (b"", "expected an npz of plain arrays, got b''"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            NLVR2(data=path).load()
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="expected an npz of several arrays, got a single array"):
        NLVR2(data=path).load()
    np.savez(path, features=np.array([{"runs": "code"}], dtype=object))
    with pytest.raises(DataError, match="expected an npz of plain arrays"):
        NLVR2(data=path).load()


def test_a_local_clip_is_asked_for_its_last_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    class Model:
        @classmethod
        def from_pretrained(cls, folder: str, **options: Any) -> Model:
            asked.append((folder, options))
            return cls()

        def eval(self) -> Model:
            return self

        def vision_model(self, pixel_values: Tensor) -> Any:
            return types.SimpleNamespace(last_hidden_state=pixel_values[:, None].repeat(1, T, 1))

        def text_model(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
            states = (input_ids * attention_mask)[..., None].repeat(1, 1, E).float()
            return types.SimpleNamespace(last_hidden_state=states)

    class Processor(Model):
        def __call__(
            self, images: Any = None, text: Any = None, **options: Any
        ) -> dict[str, Tensor]:
            if images is not None:
                sizes = [[float(side) for side in image.size] for image in images]
                return {"pixel_values": torch.tensor(sizes)}
            assert options["padding"] and options["truncation"]
            counts = [len(sentence.split()) for sentence in text]
            mask = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
            return {"input_ids": torch.full(mask.shape, 3), "attention_mask": mask.long()}

    module = types.SimpleNamespace(CLIPModel=Model, CLIPProcessor=Processor)
    monkeypatch.setitem(sys.modules, "transformers", module)
    write_folder(tmp_path / "data", {"dev": 1})
    (tmp_path / "weights").mkdir()
    said: list[str] = []
    path = clip_features(
        tmp_path / "data", tmp_path / "some.npz", tmp_path / "weights", True, 3, said.append
    )
    assert path == tmp_path / "some.npz"
    arrays = arrays_of(path)
    assert arrays["features"].shape == (4, T, 2) and arrays["features"].dtype == np.float16
    assert (arrays["features"] == (9, 7)).all()  # the pictures themselves, not squeezed
    assert (arrays["words"][:, 0] == 3).all() and arrays["word_counts"].tolist() == [7, 9]
    assert all(options["local_files_only"] for _, options in asked) and len(asked) == 2
    assert asked[0][1]["use_safetensors"]
    assert said == ["images: 0 of 4", "images: 3 of 4", "sentences: 0 of 2"]
    with pytest.raises(FileNotFoundError, match="expected a folder with the weights of a CLIP"):
        Clip(tmp_path / "elsewhere")


def test_what_keeps_features_from_being_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match="pip install transformers"):
        clip_features(tmp_path, tmp_path, tmp_path)
    with pytest.raises(ValueError, match=r"expected train\.json, dev\.json or test1\.json"):
        clip_features(tmp_path, tmp_path, "unused", backbone=Tiny())
    with pytest.raises(FileNotFoundError, match="data: no folder"):
        clip_features(tmp_path / "nowhere", tmp_path, "unused", backbone=Tiny())
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        clip_features(tmp_path, tmp_path, "unused", batch_size=0, backbone=Tiny())
    write_folder(tmp_path, {"dev": 1})
    (tmp_path / "images" / "dev" / "dev-0-0-img0.png").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"dev-0-0-img0\.png: expected an image, got a web page"):
        clip_features(tmp_path, tmp_path, "unused", backbone=Tiny())
    assert not (tmp_path / "features.npz").exists()


def test_the_command_wants_a_model_of_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nacgraph.__main__ import main

    (tmp_path / "data").mkdir()
    words = ["data", "clip-features", "--data", str(tmp_path / "data"), "--out", str(tmp_path)]
    monkeypatch.setitem(sys.modules, "transformers", None)  # as where it is not installed
    assert main([*words, "--model", str(tmp_path / "clip")]) == 2
    assert "pip install transformers" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(words)
    assert not list(tmp_path.glob("*.npz"))
