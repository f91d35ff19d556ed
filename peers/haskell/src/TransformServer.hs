-- | The transform server (S3): a netstring @NAME.POEM@ in, a netstring with the poem out.
module TransformServer (serveTransforms) where

import Netstring (framed)
import NetstringServer (answerRequests)
import Options
import Server (serve)
import System.Exit (ExitCode)
import Transform (answer, lab, transforms)

serveTransforms :: Options -> (String -> IO ()) -> IO ExitCode
serveTransforms options say = serve (server options) say "transforms" $ answerRequests (fmap (fmap framed) . reply)
  where
    reply = answer (transforms <> if withLab options then lab else []) (frameBytesMax (server options))
