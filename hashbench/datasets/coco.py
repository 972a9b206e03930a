"""MS-COCO: images of everyday scenes with 80 kinds of objects (Lin et al., ECCV 2014)."""

from hashbench.datasets.list_files import Origin, list_dataset

coco = list_dataset(
    Origin(
        name="coco",
        images="train2014.zip and val2014.zip of COCO (cocodataset.org), unpacked as train2014/ and val2014/",
        lists="the folder data/MS-COCO of the repository xunguangwang/ProS-GAN, or its authors where it has none",
        classes=80,
        sizes={"train": 10000, "test": 5000},
    ),
    "MS-COCO 2014 in the split of CgAT and SAAT: 5,000 queries, 10,000 train; all others are the database.",
    paper="Lin et al., ECCV 2014; split of Wang et al. (ProS-GAN), CVPR 2021",
)
