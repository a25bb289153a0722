"""DeepLIFT's rescale rule (Shrikumar et al., 2017) for networks of linear and elementwise calls and max pooling.

A call's *multiplier* says by how much its output rises, from the zero feature to this one, for each unit that its input
rises. For a linear call that is its gradient; every other call gets a backward pass of its own. Captum's DeepLIFT is
not used: without a warning, its scores do not sum to the logit's rise where a network has activations that captum does
not know, max pooling with overlapping windows, or an activation whose input is used a second time.
"""

from collections.abc import Callable

import torch
from torch import Tensor, fx, nn

LAYERS = {
    "linear": (
        nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AlphaDropout, nn.AvgPool1d, nn.AvgPool2d,
        nn.AvgPool3d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.ChannelShuffle, nn.CircularPad2d,
        nn.ConstantPad2d, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
        nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.FeatureAlphaDropout, nn.Flatten, nn.Fold, nn.Identity,
        nn.Linear, nn.PixelShuffle, nn.PixelUnshuffle, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.Unflatten, nn.Unfold,
        nn.Upsample, nn.ZeroPad2d,
    ),
    "elementwise": (
        nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU,
        nn.LogSigmoid, nn.Mish, nn.PReLU, nn.ReLU, nn.RReLU, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink,
        nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold,
    ),
    "peak": (
        nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d,
    ),
}  # fmt: skip
CALLS = {
    "linear": "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d add alpha_dropout avg_pool1d avg_pool2d "
    "avg_pool3d batch_norm cat channel_shuffle chunk clone concat concatenate contiguous dropout dropout1d dropout2d "
    "dropout3d expand expand_as feature_alpha_dropout flatten flip float fold getitem iadd interpolate isub mean "
    "movedim narrow neg pad permute pixel_shuffle pixel_unshuffle pos repeat reshape roll rsub select split squeeze "
    "stack sub sum swapaxes to transpose unbind unflatten unfold unsqueeze upsample view view_as",
    "elementwise": "abs absolute celu clamp clamp_max clamp_min clip cos elu erf exp expm1 gelu hardshrink hardsigmoid "
    "hardswish hardtanh leaky_relu log log1p log_sigmoid logsigmoid maximum minimum mish pow prelu reciprocal relu "
    "relu6 rrelu rsqrt selu sigmoid silu sin softplus softshrink softsign sqrt square tanh tanhshrink threshold",
    "peak": "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d amax max_pool1d max_pool2d max_pool3d",
    "product": "addmm baddbmm bmm conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d einsum "
    "linear matmul mm",
    "elementwise product": "imul mul multiply",
    "quotient": "div divide itruediv true_divide truediv",
    "no activation": "dim ndimension numel size full_like new_full new_ones new_zeros ones_like zeros_like",
}
"""Names of functions and methods, without the underscore of those that work in place."""
KINDS = {name: kind for kind, names in CALLS.items() for name in names.split()}
ATTRIBUTES = ("device", "dtype", "ndim", "shape")


def deep_lift(guide: nn.Module, feature: Tensor, target: Tensor) -> Tensor:
    """Return the scores (B, C, H, W) of features against the zero feature, for the logits of classes (B,).

    guide: maps features to logits (B, classes), in evaluation mode.
    Raises ValueError naming the first layer or call that the rule does not fit, and on guides torch.fx cannot trace.
    """
    try:
        graph = fx.symbolic_trace(guide)
    except Exception as error:  # what tracing raises is as open as what a network may contain
        raise ValueError(
            f"deep_lift has to see the calls inside the guide, and torch.fx cannot trace {type(guide).__name__} "
            f"({' '.join(str(error).split())}); try integrated_gradients"
        ) from error
    both = torch.cat([feature, torch.zeros_like(feature[:1])]).requires_grad_()
    logits = _Rescaled(graph).run(both)[:-1]
    (multiplier,) = torch.autograd.grad(logits.gather(1, target[:, None]).sum(), both)
    return feature * multiplier[:-1]


class _Rescaled(fx.Interpreter):
    """Runs a graph on features and, as the last of the batch, the zero feature; backward it gives multipliers."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.bent = _bent_calls(graph)

    def run_node(self, node: fx.Node):
        if node not in self.bent:
            return super().run_node(node)
        kind, source = self.bent[node]
        given = {each: self.env[each] for each in node.all_input_nodes}

        def call(value: Tensor) -> Tensor:
            each = {**given, source: value.clone()}  # the call may work in place
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), each.__getitem__)
            return getattr(self, node.op)(node.target, args, kwargs)

        value = _Multiplied.apply(given[source], call, kind == "peak")
        if kind == "elementwise" and value.shape != given[source].shape:
            raise ValueError(_refusal(self.module, node))
        return value


class _Multiplied(torch.autograd.Function):
    """A call of one activation (B + 1, …) whose gradient is its multiplier against the last of the batch."""

    @staticmethod
    def forward(ctx, value: Tensor, call: Callable[[Tensor], Tensor], peak: bool) -> Tensor:
        ctx.value, ctx.call, ctx.peak = value.detach().clone(), call, peak  # in-place calls may follow
        return call(value)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        value, zero, gradient = ctx.value[:-1], ctx.value[-1:], gradient[:-1]
        output, slope = _pulled_back(ctx.call, value, gradient)
        step = value - zero
        if ctx.peak:  # what rises is due to the new peak's place, what falls to the old one's
            zero = zero.expand_as(value)
            old = ctx.call(zero)
            top = torch.maximum(output, old)
            rise = _pulled_back(ctx.call, value, gradient * (top - old))[1]
            rise += _pulled_back(ctx.call, zero, gradient * (output - top))[1]
        else:
            rise = gradient * (output - ctx.call(zero))
        multiplier = torch.where(step.abs() < 1e-10, slope, rise / step)
        return torch.cat([multiplier, torch.zeros_like(multiplier[:1])]), None, None


def _pulled_back(call: Callable[[Tensor], Tensor], value: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return a call's output, and its gradient's product with `gradient`."""
    leaf = value.detach().requires_grad_()
    with torch.enable_grad():
        output = call(leaf)
    return output.detach(), torch.autograd.grad(output, leaf, gradient)[0]


def _bent_calls(graph: fx.GraphModule) -> dict[fx.Node, tuple[str, fx.Node]]:
    """Return the calls that are not linear: their kind, "elementwise" or "peak", and the activation that goes in."""
    active, bent = {next(node for node in graph.graph.nodes if node.op == "placeholder")}, {}
    for node in graph.graph.nodes:
        uses: list[fx.Node] = []  # every place where what depends on the feature goes in
        fx.node.map_arg((node.args, node.kwargs), lambda each, uses=uses: uses.append(each) if each in active else None)
        if node.op == "output" or not uses or (kind := _kind(graph, node, uses)) == "no activation":
            continue
        active.add(node)
        if kind in ("elementwise", "peak") and len(set(uses)) == 1:
            bent[node] = kind, uses[0]
        elif kind != "linear":
            raise ValueError(_refusal(graph, node))
    return bent


def _kind(graph: fx.GraphModule, node: fx.Node, uses: list[fx.Node]) -> str:
    """Return "linear", "elementwise", "peak" or "no activation" for what a call is in its `uses`, else another text."""
    if node.op == "call_module":
        layer = graph.get_submodule(node.target)
        own_statistics = isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is None
        if own_statistics or getattr(layer, "return_indices", False):
            return ""
        return next((kind for kind, layers in LAYERS.items() if isinstance(layer, layers)), "")
    name = _called(node)
    if name == "getattr" and node.args[1] in ATTRIBUTES:
        return "no activation"
    if node.kwargs.get("training") or node.kwargs.get("return_indices"):
        return ""
    kind = KINDS.get(name, "")
    if kind == "quotient":
        return "linear" if uses == [node.args[0]] else "elementwise"
    if kind in ("product", "elementwise product") and len(uses) == 1:  # the other factors are constants
        return "linear"
    return kind.removesuffix(" product")


def _called(node: fx.Node) -> str:
    """Return the name of the function or method, whether in place or not; empty for a layer."""
    if node.op == "call_module":
        return ""
    return (node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")).strip("_")


def _refusal(graph: fx.GraphModule, node: fx.Node) -> str:
    if node.op == "call_module":
        what = f"the guide's layer {node.target!r} ({type(graph.get_submodule(node.target)).__name__})"
    else:
        layers = list(node.meta.get("nn_module_stack") or ())
        what = f"the call {_called(node)!r} in the guide" + (f"'s layer {layers[-1]!r}" if layers else "")
    return (
        f"deep_lift cannot explain {what}: neither linear nor elementwise in one activation; try integrated_gradients"
    )
