"""Nets of torchvision, timm and transformers by name, with checkpoints as these packages save them."""

import importlib.util
import json
import sys

import pytest
import torch

from losslandscape.core.errors import InputError
from losslandscape.nets import library_nets, model_loader
from tests.language_models import write_model


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        importlib.util.find_spec(package) is None, reason=f"the package {package} is not installed"
    )


TINY_VIT = {"img_size": 32, "depth": 1, "num_classes": 10}
NETS = [
    pytest.param(
        "torchvision:shufflenet_v2_x0_5", {"num_classes": 10}, (1, 3, 64, 64), marks=needs("torchvision")
    ),
    pytest.param("timm:test_resnet", {}, (1, 3, 64, 64), marks=needs("timm")),
    pytest.param("timm:vit_tiny_patch16_224", TINY_VIT, (1, 3, 32, 32), marks=needs("timm")),
]


@pytest.mark.parametrize(("model", "arguments", "size"), NETS)
def test_published_names_load_from_both_formats(model, arguments, size, tmp_path):
    from safetensors.torch import save_file

    torch.manual_seed(0)
    net = model_loader.load(model, model_args=arguments)
    assert not net.training
    torch.save({"model": net.state_dict(), "epoch": 1}, tmp_path / "m.pth")
    save_file(net.state_dict(), tmp_path / "m.safetensors")
    images = torch.randn(size)
    for file in ("m.pth", "m.safetensors"):
        loaded = model_loader.load(model, str(tmp_path / file), model_args=arguments)
        assert torch.equal(loaded(images), net(images))
    assert not torch.equal(model_loader.load(model, model_args=arguments)(images), net(images))


@needs("timm")
@needs("torchvision")
@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("torchvision:resnet81", ["torchvision has no model 'resnet81'", "resnet18"]),
        ("timm:vit_tiny_patch16_242", ["timm has no model", "vit_tiny_patch16_224"]),
        ("torchvision:qqqqqqqqqq", ["list_models()"]),
        (
            "timm:test_vit.no_such_weights",
            ["timm:test_vit.no_such_weights cannot be built", "no_such_weights"],
        ),
    ],
)
def test_a_name_that_is_not_there_names_those_that_are_like_it(model, parts):
    with pytest.raises(InputError) as error:
        model_loader.build(model)
    assert all(part in str(error.value) for part in parts) and "\n" not in str(error.value), error.value


@pytest.mark.parametrize(
    ("model", "package"),
    [("torchvision:resnet18", "torchvision"), ("timm:resnet18", "timm"), ("hf:gpt2", "transformers")],
)
def test_a_package_that_is_not_installed_is_named(model, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"{model} needs the package {package} .*; pip install {package}"):
        model_loader.build(model)


@pytest.fixture(scope="module")
def gpt(tmp_path_factory) -> str:
    """A folder of a small GPT-2, with tied embeddings, as transformers saves it."""
    transformers = pytest.importorskip("transformers", reason="the package transformers is not installed")
    folder = str(tmp_path_factory.mktemp("nets") / "gpt")
    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            n_layer=1, n_head=2, n_embd=8, vocab_size=20, n_positions=12, bos_token_id=0, eos_token_id=0
        )
    ).bfloat16().save_pretrained(folder)
    return folder


def changed(folder: str, tmp_path, **changes: object) -> str:
    """A folder with the configuration alone, changed."""
    config = json.loads(open(f"{folder}/config.json").read())
    (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
    return str(tmp_path)


def test_a_folder_of_transformers(gpt, tmp_path, capfd):
    from transformers import GPT2LMHeadModel

    net, tokens = model_loader.load(f"hf:{gpt}"), torch.arange(6)[None]
    assert capfd.readouterr() == ("", "")
    expected = GPT2LMHeadModel.from_pretrained(gpt).eval()
    assert (
        type(net) is GPT2LMHeadModel
        and not net.training
        and torch.equal(net(tokens).logits, expected(tokens).logits)
    )
    assert next(net.parameters()).dtype == torch.bfloat16
    fresh = model_loader.load(f"hf:{changed(gpt, tmp_path)}")
    assert type(fresh) is GPT2LMHeadModel and not torch.equal(fresh(tokens).logits, net(tokens).logits)
    loaded = model_loader.load(f"hf:{tmp_path}", f"{gpt}/model.safetensors")  # which has the tied head once
    wide = model_loader.load(f"hf:{gpt}", model_args={"dtype": "float32"})
    assert next(wide.parameters()).dtype == torch.float32
    assert torch.equal(loaded(tokens).logits, wide(tokens).logits)
    assert loaded.lm_head.weight is loaded.transformer.wte.weight
    assert len(model_loader.build(f"hf:{tmp_path}", {"n_layer": 3}).transformer.h) == 3


def test_bad_folders_of_transformers(gpt, tmp_path):
    (tmp_path / "empty").mkdir()
    headless, strange = tmp_path / "headless", tmp_path / "strange"
    for folder in (headless, strange):
        folder.mkdir()
    changed(gpt, headless, architectures=["GPT2ForSequenceClassification"])
    (headless / "model.safetensors").write_bytes(open(f"{gpt}/model.safetensors", "rb").read())
    changed(gpt, strange, architectures=["NoSuchNet"])
    for model, arguments, parts in (
        (
            "hf:nobody/no-such-net-at-all",
            {},
            ["there is no such folder", "hf download nobody/no-such-net-at-all"],
        ),
        (f"hf:{tmp_path}/empty", {}, ["without a config.json"]),
        (f"hf:{headless}", {}, ["its weights lack score.weight", "GPT2ForSequenceClassification"]),
        (f"hf:{strange}", {}, ["NoSuchNet"]),
        (f"hf:{gpt}", {"n_layers": 3}, ["has no n_layers"]),
        (f"hf:{gpt}", {"n_embd": 16}, ["cannot be built", "model_args="]),
    ):
        with pytest.raises(InputError) as error:
            model_loader.build(model, arguments)
        assert all(part in str(error.value) for part in parts) and "\n" not in str(error.value), error.value


def mapped_tensors(net: torch.nn.Module, folder) -> int:
    """The number of a net's parameters that lie in mapped files of a folder."""
    lines = [line.split() for line in open("/proc/self/maps") if str(folder) in line]
    spans = [[int(end, 16) for end in words[0].split("-")] for words in lines]
    return sum(any(low <= p.data_ptr() < high for low, high in spans) for p in net.parameters())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("shards", ["", "4KB"])
def test_weights_are_mapped_from_their_files_and_the_files_stay_as_they_are(tmp_path, shards):
    expected = write_model(tmp_path, shards=shards)
    files = sorted(tmp_path.glob("*.safetensors"))
    before = [file.read_bytes() for file in files]
    assert (len(files) > 1) == bool(shards)
    net = model_loader.load(f"hf:{tmp_path}")
    assert mapped_tensors(net, tmp_path) == len(list(net.parameters()))
    for ours, theirs in zip(net.parameters(), expected.parameters(), strict=True):
        assert torch.equal(ours, theirs) and ours.dtype == torch.bfloat16
        with torch.no_grad():
            ours.zero_()
    assert [file.read_bytes() for file in files] == before


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_the_base_of_an_adapter_is_mapped_too(tmp_path):
    peft = pytest.importorskip("peft", reason="the package peft is not installed")
    base = write_model(tmp_path / "base")
    parameters = len(list(base.parameters()))
    base.name_or_path = "base"  # beside the adapter
    peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path)
    net = model_loader.load(f"hf:{tmp_path}")
    assert isinstance(net, peft.PeftModel)
    assert mapped_tensors(net, tmp_path / "base") == parameters < len(list(net.parameters()))


@pytest.mark.parametrize(
    ("model", "has_own", "expected"),
    [
        ("resnet20", False, ""),
        ("hf:{}/base", False, "{}/base"),
        ("hf:{}", True, "{}"),
        ("hf:{}", False, "{}/base"),
    ],
)
def test_folder_of_the_tokenizer(tmp_path, model, has_own, expected):
    (tmp_path / "base").mkdir()
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "base"}))
    if has_own:
        (tmp_path / "tokenizer_config.json").write_text("{}")
    assert library_nets.tokenizer(model.format(tmp_path)) == expected.format(tmp_path)
