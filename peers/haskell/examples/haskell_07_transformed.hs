-- Step 7: whole poems, each transformed by the server at the last address as soon as it has arrived. They are printed in
-- order; an exception in a thread comes out where its 'MVar' is read.
import Common
import Control.Concurrent
import Control.Exception (throwIO)
import qualified Data.ByteString as B
import Options (ClientOptions (..))
import TransformClient (transform)

main :: IO ()
main = do
  asked <- peers
  let via = last asked
  poems <- mapM (inThread . transformed via) (init asked)
  mapM_ (\poem -> readMVar poem >>= either throwIO B.putStr) poems
  where
    transformed via peer = connected peer >>= B.hGetContents >>= transform limits via "cummingsify"
    limits = ClientOptions {connectTimeout = 10, silenceMax = 60, totalDeadline = Nothing, poemBytesMax = 1000000}
    -- ANCHOR: in_thread
    inThread work = do
      result <- newEmptyMVar
      result <$ forkFinally work (putMVar result)
    -- ANCHOR_END: in_thread
