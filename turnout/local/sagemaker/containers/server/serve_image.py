"""Serve a model as one of AWS's prebuilt images would: `python serve_image.py <image> <code folder>`.

Images: scikit-learn, xgboost, pytorch, huggingface. The environment says everything else (toolkit_settings.py). This
process talks HTTP; workers, one unless SAGEMAKER_MODEL_SERVER_WORKERS says more, load the model and predict. Exits 0
after SIGTERM, once requests in flight are answered; exits 1 when a model cannot be loaded, and the log says why.
"""

import logging
import signal
import sys
import threading

from toolkit_http import ImageServer
from toolkit_pool import Pool
from toolkit_settings import BadSetting, own_settings

#: SageMaker kills a container 30 seconds after SIGTERM.
DRAIN_SECONDS = 25
ACCEPT_POLL_SECONDS = 0.1


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s - %(message)s", stream=sys.stderr)
    try:
        settings = own_settings(sys.argv[1:])
    except BadSetting as error:
        logging.error("cannot start: %s", error)
        return 1
    logging.getLogger().setLevel(settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    pool = Pool(settings)
    server = ImageServer(settings, pool)
    threading.Thread(target=server.serve_forever, args=(ACCEPT_POLL_SECONDS,), name="accept", daemon=True).start()
    code = pool.run(stop)
    if code == 0:
        server.drain(DRAIN_SECONDS)
    pool.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
