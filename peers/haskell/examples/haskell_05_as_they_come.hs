-- Step 5: many poems at once, their lines as they arrive. Each poem has a thread, and all threads put their lines into one
-- 'MVar', which holds one line: so a slow reader slows the servers. (A 'Chan' would hold any number.)
import Common
import Control.Concurrent
import System.IO (hGetContents)

main :: IO ()
main = do
  asked <- peers
  next <- newEmptyMVar
  let line = putMVar next . Just
      readPoem peer = connected peer >>= hGetContents >>= mapM_ line . lines
  mapM_ (\peer -> forkFinally (readPoem peer) (const (putMVar next Nothing))) asked
  printUntil (length asked) next

-- | Prints lines until so many poems have ended.
printUntil :: Int -> MVar (Maybe String) -> IO ()
printUntil 0 _ = pure ()
printUntil poems next = do
  line <- takeMVar next
  mapM_ putStrLn line
  printUntil (maybe (poems - 1) (const poems) line) next
