"""A Neuroglancer link for volumes on this machine: CT, predictions, labels; with --serve also the server that it reads from.

    python scripts/neuroglancer.py volume.zarr runs/demo/predict/a/unet3d/prob.zarr [--labels label.tif ...] --serve

Floating numbers are shown as probabilities, in orange over the CT. The page comes from the internet (or --viewer), the voxels
go from this machine to your browser and nowhere else.
"""

import argparse
import json

from scroll.viewing.arguments import add_volumes

PORT = 9600


def main() -> None:
    """Print the link and the state, and serve until Ctrl-C where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_volumes(parser)
    parser.add_argument("--serve", action="store_true", help="serve them, on this machine alone, until Ctrl-C")
    parser.add_argument("--port", type=int, default=PORT, help="of the server (%(default)s)")
    parser.add_argument("--viewer", help="address of a Neuroglancer of your own")
    arguments = parser.parse_args()
    from scroll.viewing.layers import look_at_all
    from scroll.viewing.neuroglancer import VIEWER, link, origin_of, state
    from scroll.viewing.server import VolumeServer

    layers = look_at_all(arguments.volumes, arguments.labels, arguments.voxel_um)
    viewer = arguments.viewer or VIEWER
    origin_of(viewer)
    server = VolumeServer(layers, arguments.port, viewer) if arguments.serve else None
    content = state(layers, server.address if server else f"http://127.0.0.1:{arguments.port}")
    print(json.dumps(content, indent=2))
    print(f"\n{link(content, viewer)}", flush=True)
    if server is None:
        print("nothing is served yet: add --serve, which prints a link of its own")
        return
    print(f"serving {len(layers)} volumes at {server.address} until Ctrl-C", flush=True)
    with server:
        server.serve_forever()
