"""Any data set in the folder format of the field."""

from hashbench.datasets.list_files import Origin, list_dataset

lists = list_dataset(
    Origin(name="lists", images="wherever its lists come from", lists="whoever made the folder"),
    "A folder of images with the six list files {database,train,test}_{img,label}.txt.",
)
