-- Step 1: a poem, whole. 'evaluate' makes it so: without that line, 'putStr' would print each part as it arrives, since the
-- text is a promise to read.
import Common
import Control.Exception (evaluate)
import System.IO (hGetContents)

main :: IO ()
main = do
  handle <- connected . head =<< peers
  text <- hGetContents handle
  _ <- evaluate (length text)
  putStr text
