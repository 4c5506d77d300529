"""Adapters alone (LoRA and others) load into nets that have them; the base stays as the net is made."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import fingerprint_of_file
from losslandscape.nets import adapters, model_loader
from losslandscape.nets.checkpoint import read_checkpoint
from losslandscape.nets.state_loading import load_state
from tests.helpers import run, succeed
from tests.nets.small_nets import Wrapper, one_sentence


class Low(nn.Module):
    """A layer with LoRA, with the names of peft."""

    def __init__(self, *adapters: str) -> None:
        super().__init__()
        self.base_layer = nn.Linear(3, 3)
        self.lora_A = nn.ModuleDict({name: nn.Linear(3, 1, bias=False) for name in adapters})
        self.lora_B = nn.ModuleDict({name: nn.Linear(1, 3, bias=False) for name in adapters})


class Saved(nn.Module):
    """A head that is trained as a whole, as peft's modules_to_save."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.original_module = nn.Linear(3, 2)
        self.modules_to_save = nn.ModuleDict({name: nn.Linear(3, 2)})


def adapted(*adapters: str) -> nn.Module:
    """A net with the names of a `PeftModel`."""
    layers = nn.ModuleDict({"first": Low(*adapters), "norm": nn.BatchNorm1d(3), "head": Saved(adapters[0])})
    return Wrapper("base_model", Wrapper("model", layers))


ADAPTER = {
    "base_model.model.first.lora_A.weight": torch.full((1, 3), 2.0),
    "base_model.model.first.lora_B.weight": torch.full((3, 1), 3.0),
}
HEAD = {
    "base_model.model.head.weight": torch.full((2, 3), 4.0),
    "base_model.model.head.bias": torch.full((2,), 5.0),
}


def write_adapter(folder, state: dict) -> str:
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / "adapter_model.bin")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1}))
    return str(folder)


def load(net: nn.Module, path) -> dict:
    saved = read_checkpoint(path)
    load_state(net, saved.state, what=str(path), is_adapter=saved.is_adapter)
    return net.state_dict()


@pytest.mark.parametrize("name", ["default", "mine"])
@pytest.mark.parametrize(
    ("wrap", "start"),
    [
        (lambda net: net, "base_model.model."),
        (lambda net: net.base_model.model, ""),
        (lambda net: Wrapper("net", net), "net.base_model.model."),
    ],
)
def test_an_adapter_loads_and_the_base_stays(tmp_path, name, wrap, start):
    folder = write_adapter(tmp_path / "adapter", {**ADAPTER, **HEAD})
    for path in (folder, f"{folder}/adapter_model.bin"):
        net = wrap(adapted(name))
        before = {key: value.clone() for key, value in net.state_dict().items()}
        expected = {
            **before,
            f"{start}first.lora_A.{name}.weight": ADAPTER["base_model.model.first.lora_A.weight"],
            f"{start}first.lora_B.{name}.weight": ADAPTER["base_model.model.first.lora_B.weight"],
            f"{start}head.modules_to_save.{name}.weight": HEAD["base_model.model.head.weight"],
            f"{start}head.modules_to_save.{name}.bias": HEAD["base_model.model.head.bias"],
        }
        after = load(net, path)
        assert list(after) == list(expected)
        assert all(torch.equal(after[key], expected[key]) for key in expected)


def test_names_of_an_adapter_need_no_configuration(tmp_path):
    torch.save(ADAPTER, tmp_path / "m.pt")
    net = Wrapper("base_model", Wrapper("model", nn.ModuleDict({"first": Low("default")})))
    assert (load(net, tmp_path / "m.pt")["base_model.model.first.lora_A.default.weight"] == 2).all()
    own = {key: value + 1 for key, value in net.state_dict().items() if "lora_" in key}
    for prefix in ("", "module.", "model.net.", "_orig_mod."):
        for wrap in (lambda net: net, torch.compile, lambda net: Wrapper("net", net)):
            torch.save({"state_dict": {prefix + key: value for key, value in own.items()}}, tmp_path / "m.pt")
            assert read_checkpoint(tmp_path / "m.pt").is_adapter
            fresh = wrap(Wrapper("base_model", Wrapper("model", nn.ModuleDict({"first": Low("default")}))))
            state = load(fresh, tmp_path / "m.pt")
            for key, value in own.items():
                assert any(torch.equal(value, other) for name, other in state.items() if name.endswith(key))


def test_an_adapter_is_loaded_completely_or_not_at_all(tmp_path):
    config = write_adapter(tmp_path / "adapter", {**ADAPTER, **HEAD})
    for state, net, part in (
        (ADAPTER, adapted("default"), "'base_model.model.head.modules_to_save.default.weight' is missing"),
        (
            {**ADAPTER, **HEAD, "base_model.model.second.lora_A.weight": torch.ones(1)},
            adapted("default"),
            "second.lora_A.weight' is not in the net",
        ),
        (
            {**ADAPTER, **HEAD, "base_model.model.first.lora_A.weight": torch.ones(8, 3)},
            adapted("default"),
            "'base_model.model.first.lora_A.default.weight' has shape [8, 3]; the net's has [1, 3]",
        ),
        (ADAPTER, nn.Linear(3, 3), "is an adapter alone, and the net has none"),
        ({"layer.weight": torch.ones(3, 3)}, nn.Linear(3, 3), "the net has none"),
        (ADAPTER, Wrapper("base_model", Wrapper("model", nn.ModuleDict({"first": Low("a", "b")}))), "a, b"),
    ):
        write_adapter(tmp_path / "adapter", state)
        before = {key: value.clone() for key, value in net.state_dict().items()}
        with pytest.raises(InputError) as error:
            load(net, config)
        message = str(error.value)
        assert "\n" not in message and len(message) < 600 and config in message and part in message, message
        assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_other_files_must_hold_the_whole_net(tmp_path):
    """Without a configuration beside it, only names of an adapter excuse a missing weight."""
    torch.save({**ADAPTER, **HEAD}, tmp_path / "m.pt")
    with pytest.raises(InputError, match="'base_model.model.first.base_layer.weight' is missing"):
        load(adapted("default"), tmp_path / "m.pt")


OWN = """
import torch
from torch import nn

class Low(nn.Module):
    def __init__(self):
        super().__init__()
        self.base = nn.Linear(4, 3)  # random, and not seeded
        self.lora_A, self.lora_B = nn.Linear(4, 1, bias=False), nn.Linear(1, 3, bias=False)

    def forward(self, inputs):
        return self.base(inputs) + self.lora_B(self.lora_A(inputs))

def data():
    torch.manual_seed(0)
    return torch.randn(12, 4), torch.arange(12) % 3
"""


def test_a_line_between_two_adapters(tmp_path):
    """Both ends have the same base, and the run says that the base is not in the file."""
    (tmp_path / "mine.py").write_text(OWN)
    torch.manual_seed(1)
    ends = [{"lora_A.weight": torch.randn(1, 4), "lora_B.weight": torch.randn(3, 1)} for _ in range(2)]
    for name, state in zip("ab", ends, strict=True):
        write_adapter(tmp_path / name, state)
    flags = ["--model", "mine.py:Low", "--dataset", "mine.py:data", "--model_file", "a/"]
    text = succeed("plot_surface.py", *flags, "--model_file2", "b", "--x=0:1:3", cwd=tmp_path)
    assert "a is an adapter alone: all other weights are as mine.py:Low makes them" in text
    from losslandscape.files import h5_util

    surface = h5_util.read_surface(str(tmp_path / "a_b_weights.h5_[0.0,1.0,3].h5"))
    losses = []
    for share in (0.0, 0.5, 1.0):
        net = model_loader.load(f"{tmp_path}/mine.py:Low", f"{tmp_path}/a")
        with torch.no_grad():
            for name, value in ends[0].items():
                net.state_dict()[name].copy_(value + share * (ends[1][name] - value))
        torch.manual_seed(0)
        inputs = torch.randn(12, 4)
        losses.append(nn.functional.cross_entropy(net(inputs), torch.arange(12) % 3).item())
    assert surface.get("train_loss") == pytest.approx(losses, rel=1e-5)
    write_adapter(tmp_path / "a", {**ends[0], "lora_B.weight": torch.zeros(3, 1)})
    done = run("plot_surface.py", *flags, "--model_file2", "b", "--x=0:1:3", cwd=tmp_path)
    assert done.returncode == 2 and "was made with another" in done.stderr


def test_random_draws_after_an_adapter_do_not_depend_on_the_file(tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    write_adapter(tmp_path / "a", {"lora_A.weight": torch.ones(1, 4), "lora_B.weight": torch.ones(3, 1)})
    after = []
    for file in ("", f"{tmp_path}/a"):
        torch.manual_seed(3)
        net = model_loader.load(f"{tmp_path}/mine.py:Low", file)
        assert model_loader.is_on_base(net) == bool(file)
        after.append(torch.rand(3))
    assert torch.equal(*after)
    torch.save({"lora_A.weight": torch.ones(2, 2), "lora_A.bias": torch.ones(2)}, tmp_path / "whole.pt")
    (tmp_path / "whole.py").write_text(
        "from torch import nn\ndef net(): return nn.ModuleDict({'lora_A': nn.Linear(2, 2)})\n"
    )
    whole = model_loader.load(f"{tmp_path}/whole.py:net", f"{tmp_path}/whole.pt")
    assert (whole["lora_A"].weight == 1).all() and not model_loader.is_on_base(whole)


def test_the_base_of_an_adapter_is_a_fact_of_the_surface(tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    torch.save({"base": 1.0}, tmp_path / "scale.pt")
    scaled = (
        "import torch\nfrom mine import Low\ndef net():\n    net, scale = Low(), torch.load('scale.pt')\n"
    )
    (tmp_path / "scaled.py").write_text(
        f"{scaled}    net.base.weight.data *= scale['base']\n    return net\n"
    )
    write_adapter(tmp_path / "a", {"lora_A.weight": torch.ones(1, 4), "lora_B.weight": torch.ones(3, 1)})
    flags = ["--model", "scaled.py:net", "--dataset", "mine.py:data", "--model_file", "a", "--x=-1:1:2"]
    succeed("plot_surface.py", *flags, cwd=tmp_path)
    torch.save({"base": 2.0}, tmp_path / "scale.pt")
    done = run("plot_surface.py", *flags, cwd=tmp_path)
    assert done.returncode == 2 and "base of the adapter" in done.stderr, done.stderr


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    """A small GPT-2, and two LoRA adapters of it, as transformers and peft save them."""
    transformers = pytest.importorskip("transformers", reason="the package transformers is not installed")
    peft = pytest.importorskip("peft", reason="the package peft is not installed")
    root = tmp_path_factory.mktemp("adapters")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_layer=1, n_head=2, n_embd=8, vocab_size=20, n_positions=12, bos_token_id=0, eos_token_id=0
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(root / "base")
    for name in "ab":
        base = transformers.GPT2LMHeadModel.from_pretrained(root / "base")
        lora = peft.LoraConfig(r=2, task_type="CAUSAL_LM", target_modules=["c_attn"], use_dora=name == "b")
        net = peft.get_peft_model(base, lora)
        for parameter in net.parameters():
            if parameter.requires_grad:
                nn.init.normal_(parameter)
        net.save_pretrained(root / name)
    config.pad_token_id = 0
    classifier = transformers.GPT2ForSequenceClassification.from_pretrained(root / "base", pad_token_id=0)
    net = peft.get_peft_model(
        classifier, peft.LoraConfig(r=2, task_type="SEQ_CLS", target_modules=["c_attn"])
    )
    nn.init.normal_(net.base_model.model.score.modules_to_save.default.weight)
    net.save_pretrained(root / "classes")
    return {name: str(root / name) for name in ("base", "a", "b", "classes")}


def logits(net: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    return net(tokens).logits


def peft_net(folders: dict[str, str], name: str) -> nn.Module:
    import peft
    import transformers

    kind = "ForSequenceClassification" if name == "classes" else "LMHeadModel"
    base = getattr(transformers, f"GPT2{kind}").from_pretrained(folders["base"], pad_token_id=0)
    return peft.PeftModel.from_pretrained(base, folders[name]).eval()


TOKENS = torch.arange(1, 7)[None]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a", "b", "classes"])
@pytest.mark.filterwarnings("ignore")
def test_an_adapter_of_peft(folders, name, capfd):
    net = model_loader.load(f"hf:{folders[name]}")
    assert capfd.readouterr() == ("", "")
    expected = peft_net(folders, name)
    outputs = logits(expected, TOKENS)
    assert torch.equal(logits(net, TOKENS), outputs)
    with expected.disable_adapter():
        assert not torch.allclose(logits(expected, TOKENS), outputs)
    for path in (folders[name], f"{folders[name]}/adapter_model.safetensors"):
        fresh = model_loader.build(f"hf:{folders[name]}")
        for key, value in fresh.state_dict().items():
            if "lora_" in key or "modules_to_save" in key:
                value.zero_()
        load(fresh, path)
        assert torch.equal(logits(fresh.eval(), TOKENS), outputs)
    assert fingerprint_of_file(folders[name]) == fingerprint_of_file(path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_adapter_on_a_base_of_another_kind(folders):
    with pytest.raises(InputError) as error:
        model_loader.load(f"hf:{folders['base']}", folders["a"])
    one_sentence(error, folders["a"], "is an adapter alone, and the net has none")
    with pytest.raises(InputError, match="lora_magnitude_vector' is not in the net"):
        model_loader.load(f"hf:{folders['a']}", folders["b"])


def test_an_adapter_of_another_scale(tmp_path):
    """The scale is in the configuration alone: the weights of one in the net of the other are another net."""
    net = adapted("default")
    net.peft_config = {"default": SimpleNamespace(lora_alpha=16)}
    folder = write_adapter(tmp_path / "a", ADAPTER)
    for alpha in (16, 32):
        (tmp_path / "a" / "adapter_config.json").write_text(json.dumps({"lora_alpha": alpha}))
        if alpha == 16:
            adapters.require_same_scale(net, f"{folder}/adapter_model.bin")
    with pytest.raises(InputError, match="its lora_alpha is 32, and the net's is 16"):
        adapters.require_same_scale(net, f"{folder}/adapter_model.bin")


def test_hf_folders_of_adapters_that_cannot_be_built(tmp_path, monkeypatch):
    pytest.importorskip("transformers", reason="the package transformers is not installed")
    folder = write_adapter(tmp_path / "a", ADAPTER)
    config = tmp_path / "a" / "adapter_config.json"
    monkeypatch.setitem(sys.modules, "peft", ModuleType("peft"))
    for content, parts in (
        ("{", ["adapter_config.json: is not a configuration"]),
        ("{}", ["does not name its base"]),
        (
            '{"base_model_name_or_path": "nobody/no-such-base"}',
            [f"hf:{folder} is an adapter; its base", "hf download nobody/no-such-base"],
        ),
    ):
        config.write_text(content)
        with pytest.raises(InputError) as error:
            model_loader.build(f"hf:{folder}")
        one_sentence(error, folder, *parts)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match="is an adapter, which needs the package peft.*; pip install peft"):
        model_loader.build(f"hf:{folder}")


def test_an_adapter_of_another_base_is_warned_about(tmp_path):
    net = adapted("default")
    file = f"{write_adapter(tmp_path / 'a', ADAPTER)}/adapter_model.bin"
    config = tmp_path / "a" / "adapter_config.json"
    for there, here, other in (
        ("base2", "base", "base2"),
        ("base", "base", ""),
        (str(tmp_path / "base"), f"{tmp_path}/a/../base/", ""),
        (None, "base", ""),
        ("base2", None, ""),
    ):
        config.write_text(json.dumps({"base_model_name_or_path": there}))
        net.peft_config = {"default": SimpleNamespace(base_model_name_or_path=here)}
        assert adapters.other_base(net, file) == other
    assert adapters.other_base(nn.Linear(2, 2), file) == ""
