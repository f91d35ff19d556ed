-- Step 3: a poem's first line. The rest is never read. The connection stays open until the handle is closed, here by hand:
-- Rust closes it where the stream is dropped.
import Common
import System.IO (hClose, hGetContents)

main :: IO ()
main = do
  handle <- connected . head =<< peers
  putStr . unlines . take 1 . lines =<< hGetContents handle
  hClose handle
