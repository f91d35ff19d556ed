-- Step 2: a poem, line by line. Nothing says that 'lines' reads from the network, and it does: each line is shown as soon
-- as it has arrived. In Rust the type says it: a stream of @Result<String, _>@.
import Common
import System.IO (hGetContents)

main :: IO ()
main = do
  handle <- connected . head =<< peers
  mapM_ putStrLn . lines =<< hGetContents handle
