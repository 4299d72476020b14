"""Small folders in the layouts that data sets are published in, rendered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Size = tuple[int, int]
"""(height, width)."""


def picture(path: Path, seed: int = 0, format: str = "JPEG", size: Size = (80, 100)) -> Path:
    """A picture of coloured blocks in a white frame, another one for every seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 255, (8, 6, 3), dtype=np.uint8)
    inner = Image.fromarray(blocks).resize((size[1] * 3 // 4, size[0] * 3 // 4), Image.Resampling.NEAREST)
    whole = Image.new("RGB", (size[1], size[0]), "white")
    whole.paste(inner, (size[1] // 8, size[0] // 8))
    whole.save(path, format=format)
    return path


def label_map(size: Size, *labels: int) -> NDArray[np.uint8]:
    """(H, W) labels: the background around bands of the given ones."""
    found = np.zeros(size, dtype=np.uint8)
    for number, label in enumerate(labels):
        found[10 + 10 * number : 20 + 10 * number, 20:60] = label
    return found


def viton(root: Path, pairs: int = 3) -> Path:
    for number in range(pairs):
        picture(root / "person" / f"{number:06}_0.jpg", number)
        picture(root / "cloth" / f"{number:06}_1.jpg", 1000 + number)
    rows = "".join(f"{number:06}_0.jpg,{number:06}_1.jpg\n" for number in range(pairs))
    (root / "pairs.csv").write_text("person,cloth\n" + rows)
    return root


def clothing_co_parsing(root: Path) -> Path:
    """Photo 1 with pixel labels (blouse, jeans, boots), photo 2 with tags (dress), photo 3 with nothing."""
    from scipy.io import savemat

    names = ["null", "boots", "blouse", "jeans", "dress"]
    for number in range(1, 4):
        picture(root / "photos" / f"000{number}.jpg", number)
    for level in ("pixel-level", "image-level"):
        (root / "annotations" / level).mkdir(parents=True)
    savemat(root / "label_list.mat", {"label_list": np.array(names, dtype=object).reshape(1, -1)})
    savemat(root / "annotations/pixel-level/0001.mat", {"groundtruth": label_map((80, 100), 2, 3, 1)})
    savemat(root / "annotations/image-level/0002.mat", {"tags": np.array([[0, 4]], dtype=np.uint8)})
    return root


def chictopia10k(root: Path) -> Path:
    """Three photos; 1 wears skirt and upper-clothes, 2 pants, and the labels of 3 are of another size."""
    for number in range(1, 4):
        picture(root / "JPEGImages" / f"{number}_1.jpg", number)
    (root / "SegmentationClassAug").mkdir()
    for number, labels in ((1, (4, 5)), (2, (6,)), (3, (7,))):
        size = (80, 100) if number < 3 else (40, 50)
        Image.fromarray(label_map(size, *labels)).save(root / "SegmentationClassAug" / f"{number}_1.png")
    return root


def product_feed(root: Path, types: tuple[str, ...] = ("Tshirts", "Jeans", "Casual Shoes")) -> Path:
    rows = []
    for number, article_type in enumerate(types):
        picture(root / "images" / f"{number}.jpg", number)
        rows.append(f"{number},Men,{article_type},Red,Number {number}\n")
    (root / "styles.csv").write_text("id,gender,articleType,baseColour,productDisplayName\n" + "".join(rows))
    return root


def listing(path: Path, header: str, rows: list[str], count: int | None = None) -> None:
    """A list file of DeepFashion."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stated = len(rows) if count is None else count
    path.write_text("\n".join([str(stated), *([header] if header else []), *rows]) + "\n")


CONSUMER_BOXES = "image_name  clothes_type  source_type  x_1  y_1  x_2  y_2"
SHOP_BOXES = "image_name  clothes_type  pose_type  x_1  y_1  x_2  y_2"


def consumer_to_shop(root: Path) -> Path:
    """Items 1 (two shop pictures, two consumers' photos) and 2 (one of each), all with boxes that fit."""
    first, second = "img/TOPS/Blouse_Shirt/id_00000001", "img/DRESSES/Dress/id_00000002"
    rows, boxes = [], []
    for number, (photo, shop) in enumerate((("01", "01"), ("02", "02"), ("01", "02"))):
        rows.append(f"{first}/consumer_{photo}.jpg {first}/shop_{shop}.jpg id_00000001 train")
        if number < 2:
            boxes += [f"{first}/consumer_{photo}.jpg 1 2 10 5 90 75", f"{first}/shop_{shop}.jpg 1 1 0 0 100 80"]
            picture(root / "Img" / f"{first}/consumer_{photo}.jpg", number)
            picture(root / "Img" / f"{first}/shop_{shop}.jpg", 10 + number)
    rows.append(f"{second}/consumer_01.jpg {second}/shop_01.jpg id_00000002 test")
    boxes.append(f"{second}/consumer_01.jpg 3 2 0 0 100 80")
    picture(root / "Img" / f"{second}/consumer_01.jpg", 20)
    picture(root / "Img" / f"{second}/shop_01.jpg", 21)
    header = "image_pair_name_1 image_pair_name_2 item_id evaluation_status"
    listing(root / "Eval/list_eval_partition.txt", header, rows)
    listing(root / "Anno/list_bbox_consumer2shop.txt", CONSUMER_BOXES, boxes)
    listing(root / "Anno/list_item_consumer2shop.txt", "", ["id_00000001", "id_00000002"])
    return root


def in_shop(root: Path) -> Path:
    """Item 1 with a picture of the garment alone (pose 6), item 2 without."""
    rows, boxes = [], []
    views = (("id_00000001", "1", "front"), ("id_00000001", "6", "flat"), ("id_00000001", "3", "back"))
    views += (("id_00000002", "2", "side"), ("id_00000002", "1", "front"))
    for number, (item, pose, view) in enumerate(views):
        name = f"img/WOMEN/Graphic_Tees/{item}/01_{pose}_{view}.jpg"
        picture(root / "Img" / name, number, size=(256, 256))
        rows.append(f"{name} {item} {'train' if item.endswith('1') else 'gallery'}")
        boxes.append(f"{name} 1 {pose} 40 20 200 230")
    listing(root / "Eval/list_eval_partition.txt", "image_name item_id evaluation_status", rows)
    listing(root / "Anno/list_bbox_inshop.txt", SHOP_BOXES, boxes)
    return root


def street2shop(root: Path) -> Path:
    """Dress 7 (two shop pictures) and bag 8; photo 3 shows the dress, photo 4 both; all are downloaded."""
    for number, folder in ((1, "dresses"), (2, "dresses"), (5, "bags"), (3, "dresses"), (4, "bags")):
        picture(root / "images" / folder / f"{number:09}.jpeg", number)
    box = {"left": 10, "top": 5, "width": 60, "height": 70}
    entries(root, "retrieval_dresses", [{"photo": 1, "product": 7}, {"photo": 2, "product": 7}])
    entries(root, "retrieval_bags", [{"photo": 5, "product": 8}])
    pairs = [{"photo": 3, "product": 7, "bbox": box}, {"photo": 4, "product": 7, "bbox": box}]
    entries(root, "train_pairs_dresses", pairs)
    entries(root, "test_pairs_bags", [{"photo": 4, "product": 8, "bbox": box}])
    (root / "photos").mkdir()
    (root / "photos/photos.txt").write_text("".join(f"{n:09},http://shop.example/{n}.jpg\n" for n in range(1, 10)))
    return root


def entries(root: Path, name: str, found: Any) -> None:
    """A JSON list of Street2Shop."""
    path = root / "meta" / "json" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))


def lookbook(root: Path) -> Path:
    """Product 0 worn in two photos, product 1 in one."""
    names = ("PID000000_CLEAN1_IID000002", "PID000000_CLEAN0_IID000000", "PID000000_CLEAN0_IID000001")
    names += ("PID000001_CLEAN0_IID000003", "PID000001_CLEAN1_IID000004")
    for number, name in enumerate(names):
        picture(root / "data" / f"{name}.jpg", number)
    return root
