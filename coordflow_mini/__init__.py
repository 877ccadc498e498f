"""A video as a few small networks: CoordFlow (arXiv 2501.00975), as a library to read.

    from pathlib import Path
    import coordflow_mini as cf

    video = cf.load("clip:cutout")  # or "holiday.mp4"
    data = cf.encode(video, bpp=0.8)  # fit, quantize, code: bytes
    Path("cutout.cfv").write_bytes(data)  # this is all that is sent
    decoded = cf.decode(Path("cutout.cfv").read_bytes())  # needs nothing but the file
    rate = cf.bits_per_pixel(len(data), video)
    quality = cf.psnr_db(video.frames, decoded.frames)
    print(f"{rate:.2f} bpp, {quality:.1f} dB")
    cf.write("decoded.mp4", decoded.frames, decoded.fps)
    cf.scrub([video, decoded])  # in a notebook

The paper and its codec stand here, in the order in which a video travels: `config`; `coords`,
`similarity`, `model`, `render`; `loss`, `draws`, `sampling`, `muon`, `train`; `quantize`, `finetune`,
`entropy`, `bitstream`; `encoder`, `decoder`.  Everything else has a folder: `motion` is measured before
training, `applications` use a fitted model, `video` reads and writes, `fetch` downloads, `ops` keeps long
training alive, `measure` and `show` look at results, `sweeps` encodes many clips, `cli` is the command
`coordflow`, `course` teaches.
"""

from coordflow_mini.ops.lazy import lazily, publish

with lazily():
    from coordflow_mini.bitstream import BitstreamError as BitstreamError
    from coordflow_mini.config import CodecConfig as CodecConfig
    from coordflow_mini.config import FitConfig as FitConfig
    from coordflow_mini.config import ModelConfig as ModelConfig
    from coordflow_mini.config import Recipe as Recipe
    from coordflow_mini.config import Selection as Selection
    from coordflow_mini.decoder import decode as decode
    from coordflow_mini.decoder import decode_frames as decode_frames
    from coordflow_mini.encoder import EncodeResult as EncodeResult
    from coordflow_mini.encoder import compress as compress
    from coordflow_mini.encoder import encode as encode
    from coordflow_mini.measure.evaluate import evaluate as evaluate
    from coordflow_mini.measure.metrics import bits_per_pixel as bits_per_pixel
    from coordflow_mini.measure.metrics import ms_ssim as ms_ssim
    from coordflow_mini.measure.metrics import psnr_db as psnr_db
    from coordflow_mini.model import CoordFlow as CoordFlow
    from coordflow_mini.ops.run import fit as fit
    from coordflow_mini.show.widgets import scrub as scrub
    from coordflow_mini.video.clip import Video as Video
    from coordflow_mini.video.read import load as load
    from coordflow_mini.video.write import write as write

__version__ = "0.1.0"

publish(globals())
