"""ImageNet-100: one hundred classes of ILSVRC 2012, as hashing papers use them (Cao et al., ICCV 2017)."""

from hashbench.datasets.list_files import Origin, list_dataset

imagenet100 = list_dataset(
    Origin(
        name="imagenet100",
        images="ILSVRC 2012 (image-net.org, after registration)",
        lists="the repository thuml/HashNet (13,000 train) or jiawangbai/DHTA (10,000 train), rewritten as six files",
        classes=100,
        sizes={"test": 5000},
    ),
    "100 classes of ImageNet: 5,000 queries from its validation part, train and database from its training part.",
    paper="Deng et al., CVPR 2009; classes of Cao et al. (HashNet), ICCV 2017",
)
