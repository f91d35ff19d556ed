-- Step 4: many poems, one after another. All connections are made first, since 'mapM' is strict in 'IO', and the poems
-- are read in order, since their texts are not. Our streams connect when they are asked, so there the second poem's
-- connection waits too.
import Common
import System.IO (hGetContents)

main :: IO ()
main = do
  handles <- mapM connected =<< peers
  texts <- mapM hGetContents handles
  mapM_ putStrLn (concatMap lines texts)
