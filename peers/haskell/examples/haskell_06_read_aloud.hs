-- Step 6: a poem, read aloud: at most one line every ten milliseconds. The list is forced at the reader's pace, so the
-- server waits for the reader, through the socket's buffers; nothing else was needed for back-pressure.
import Common
import Control.Concurrent (threadDelay)
import System.IO (hGetContents)

main :: IO ()
main = do
  handle <- connected . head =<< peers
  mapM_ (\line -> putStrLn line >> threadDelay 10000) . lines =<< hGetContents handle
