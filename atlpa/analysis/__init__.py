"""Why a defense works (§5.4.2 to 5.4.4): attention maps, key regions, embeddings and loss landscapes, on tensors."""

from atlpa.analysis.attention import attention_maps, comparison_stage, map_distance, map_variation, overlay_maps
from atlpa.analysis.embedding import default_perplexity, embed, pooled_features, silhouette
from atlpa.analysis.landscape import landscape
from atlpa.analysis.regions import activation_in_regions

__all__ = [
    "activation_in_regions",
    "attention_maps",
    "comparison_stage",
    "default_perplexity",
    "embed",
    "landscape",
    "map_distance",
    "map_variation",
    "overlay_maps",
    "pooled_features",
    "silhouette",
]
