"""A TimeSformer's logits as a map of the sheet."""

from torch import Tensor, nn

from stage1_3d.models.over_depth import OverDepth


class SheetTimeSformer(OverDepth):
    """`backbone` says `fields` x `fields` numbers of a patch of `edge_px` x `edge_px`: what each stands for hangs on its size."""

    def __init__(self, backbone: nn.Module, edge_px: int, fields: int, input_norm: bool) -> None:
        super().__init__()
        self.edge_px = edge_px
        self.fields = fields
        self.normalization = nn.BatchNorm3d(1) if input_norm else nn.Identity()
        self.backbone = backbone

    def sheet_map(self, ct: Tensor) -> Tensor:
        """(B, 1, Z, edge_px, edge_px) CT -> (B, 1, fields, fields) logits.

        Raises:
            ValueError: the CT has another size in y or x.
        """
        if ct.shape[-2:] != (self.edge_px, self.edge_px):
            raise ValueError(
                f"timesformer was built for {self.edge_px} x {self.edge_px} pixels, got {tuple(ct.shape[-2:])}"
            )
        film = self.normalization(ct).transpose(1, 2)  # (B, Z, 1, Y, X)
        logits: Tensor = self.backbone(film)  # (B, fields * fields)
        return logits.unflatten(1, (1, self.fields, self.fields))
