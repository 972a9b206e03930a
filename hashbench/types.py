"""Every tensor shape of the project, named once; tests check shapes at run time."""

from jaxtyping import Float, Int
from torch import Tensor

# A leading underscore lets two arguments of one function differ in that size.
Images = Float[Tensor, "_images _channels _height _width"]  # pixels in [0, 1]
Codes = Float[Tensor, "_items _bits"]  # relaxed codes in (-1, 1), or logits where a name says so
BinaryCodes = Float[Tensor, "_items _bits"]  # -1 or +1
GuideCodes = Float[Tensor, "_items _bits"]  # -1, 0 or +1; 0: the bit has no preferred value
Labels = Float[Tensor, "_items _classes"]  # multi-hot, 0 or 1
Scores = Float[Tensor, "_items"]  # one value per image
Ids = Int[Tensor, "_items _top"]  # of database items, the nearest first
Index = Int[Tensor, "_items"]  # positions in a data set
Scalar = Float[Tensor, ""]
