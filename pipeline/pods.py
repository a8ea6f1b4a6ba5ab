"""The settings of `pipeline/cluster.yaml` for the steps' pods: identity, labels, affinity, certificates and proxies."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from components.params.models import Section

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Label = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
"""A DNS label: KFP makes the name of a volume from that of its claim."""
LabelKey = Annotated[str, Field(pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")]
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]


class NodeAffinity(Section):
    """An expression that the labels of a step's node must fulfill or, with a weight, should fulfill."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[LabelValue] = Field(default=[], description="for In and NotIn")
    weight: Annotated[int, Field(ge=1, le=100)] | None = Field(default=None, description="a preference instead of a requirement")

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        if bool(self.values) != (self.operator in ("In", "NotIn")):
            raise ValueError("In and NotIn need values, Exists and DoesNotExist have none")
        return self

    def match_expression(self) -> dict[str, Any]:
        """The expression without the weight."""
        return {"key": self.key, "operator": self.operator, "values": self.values}

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels fulfills the expression."""
        if self.operator in ("Exists", "DoesNotExist"):
            return (self.key in labels) == (self.operator == "Exists")
        return (labels.get(self.key) in self.values) == (self.operator == "In")


class SecurityContext(Section):
    """User and group of the steps, none of which is root."""

    run_as_user: Annotated[int, Field(ge=1)]
    run_as_group: Annotated[int, Field(ge=1)]


class Certificates(Section):
    """A config map with a bundle of certificates in PEM format."""

    config_map: Name
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$")]


class Proxy(Section):
    """Proxies for requests of the steps, except to the hosts in `no_proxy`."""

    http: Annotated[str, Field(pattern=r"^https?://[^\s@]+$")]
    https: Annotated[str, Field(pattern=r"^https?://[^\s@]+$")]
    no_proxy: list[Annotated[str, Field(pattern=r"^[^\s,]+$")]] = Field(min_length=1)


class PodSettings(Section):
    """Settings of every step's pod."""

    image_pull_secrets: list[Name]
    security_context: SecurityContext | None
    labels: dict[LabelKey, LabelValue]
    annotations: dict[LabelKey, str]
    kueue_queue: Label | None
    kueue_priority: Label | None = None
    certificates: Certificates | None
    proxy: Proxy | None
