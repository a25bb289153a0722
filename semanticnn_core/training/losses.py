"""The losses of the paper, one function an equation."""

from torch import Tensor
from torch.nn import functional as F


def denoising_loss(sent: Tensor, received: Tensor) -> Tensor:
    """Return L_bit, the mean squared error between sent and received feature (equation 1)."""
    return F.mse_loss(received, sent)


def occupancy_loss(occupancy: Tensor) -> Tensor:
    """Return L_div = KL(p ‖ 1/n) in nats, 0 when all n centres are used equally, at most log n (equation 2).

    occupancy: the soft share of each centre (n,), which sums to 1; soft, because counts have no gradient.
    """
    p = occupancy.clamp_min(1e-12)
    return (p * (p * len(p)).log()).sum()


def distillation_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T²·KL(teacher ‖ student) of softened predictions (Hinton et al., 2015); logits (B, classes)."""
    student = F.log_softmax(logits / temperature, 1)
    target = F.log_softmax(teacher / temperature, 1)
    return F.kl_div(student, target, reduction="batchmean", log_target=True) * temperature**2


def semantic_loss(
    logits: Tensor,
    labels: Tensor,
    occupancy: Tensor,
    alpha: float,
    beta: float,
    teacher: Tensor | None = None,
    distill: float = 0.0,
    temperature: float = 2.0,
) -> dict[str, Tensor]:
    """Return L_sem = α·L_div + β·L_cls (+ distillation) as `loss`, and its terms (equation 2)."""
    terms = {"L_div": occupancy_loss(occupancy), "L_cls": F.cross_entropy(logits, labels)}
    loss = alpha * terms["L_div"] + beta * terms["L_cls"]
    if teacher is not None and distill:
        terms["L_distill"] = distillation_loss(logits, teacher, temperature)
        loss = loss + distill * terms["L_distill"]
    return {"loss": loss, **terms}
