-- | The library server (S8): a netstring with a name in, a netstring with the poem of that name out.
module LibraryServer (serveLibrary) where

import Control.Exception (IOException, try)
import Control.Monad (filterM, void)
import Counts (Refusal (..))
import Data.ByteString (ByteString)
import qualified Data.ByteString as B
import Data.Char (GeneralCategory (Surrogate), generalCategory, isControl)
import Data.IORef
import Data.List (isPrefixOf, sort)
import qualified Data.Map.Strict as Map
import qualified Data.Text as T
import Data.Text.Encoding (decodeUtf8', encodeUtf8)
import Netstring (framed)
import NetstringServer (answerRequests)
import Options
import Server (serve)
import Shared (shownError)
import System.Directory (doesFileExist, listDirectory)
import System.Exit (ExitCode)
import System.FilePath (dropExtension, (</>))
import System.Posix.Signals (Handler (Catch), installHandler, sigHUP)

-- | Poems by name, each with the file that it is from.
type Library = Map.Map ByteString (FilePath, ByteString)

-- | Serves the poems of a directory, which is read again on SIGHUP. The whole map is replaced by one write, and is never
-- changed: a reply under way keeps the poem it began with, as with an @Arc@ in Rust.
serveLibrary :: Options -> FilePath -> (String -> IO ()) -> IO ExitCode
serveLibrary options directory say = do
  library <- either (usageError . (("cannot read " <> directory <> ": ") <>) . shownError) newIORef =<< try (load Map.empty)
  let reload = try (readIORef library >>= load) >>= either problem (atomicWriteIORef library)
  void (installHandler sigHUP (Catch reload) Nothing)
  count <- Map.size <$> readIORef library
  serve (server options) say ("library " <> directory <> " (" <> show count <> " poems)") $ answerRequests (reply library)
  where
    load = readLibrary say (frameBytesMax (server options)) directory
    problem why = say ("cannot read " <> directory <> " again: " <> shownError why)
    reply library name = do
      found <- Map.lookup name <$> readIORef library
      pure $ case found of
        Nothing
          | isName name -> Left (UnknownPoem, "unknown poem " <> show (B.take 40 name))
          | otherwise -> Left (BadPoemName, show (B.take 40 name) <> " is not a poem's name")
        Just (_, poem) -> Right (framed poem)

-- | Reads every file of the directory. One that cannot be served is reported and skipped, and what it held before is kept.
readLibrary :: (String -> IO ()) -> Int -> FilePath -> Library -> IO Library
readLibrary say limit directory before = do
  names <- sort . filter (not . isPrefixOf ".") <$> listDirectory directory
  files <- filterM (doesFileExist . (directory </>)) names
  foldl (\library file -> library >>= add file) (pure Map.empty) (sort' files)
  where
    -- A file that is served already comes first, and so keeps its name.
    sort' files = filter served files <> filter (not . served) files
    served file = (fst <$> Map.lookup (nameOf file) before) == Just file
    add file library = do
      text <- try (B.readFile (directory </> file)) :: IO (Either IOException ByteString)
      let name = nameOf file
          held = if served file then Map.lookup name before else Nothing
          kept = maybe library (\poem -> Map.insert name poem library) held
          skip why = say ("skipped " <> show file <> ": " <> why) >> pure kept
      case text of
        Left why -> skip (shownError why)
        Right poem
          | not (isName name) || any ((== Surrogate) . generalCategory) file -> skip "its name cannot be a poem's"
          | Map.member name library -> skip "another file has the same name"
          | B.length poem > limit -> skip "it is over the frame limit"
          | Left _ <- decodeUtf8' poem -> skip "it is not UTF-8"
          | otherwise -> pure (Map.insert name (file, poem) library)

-- | The name of a file's poem: the file's without its ending. (Bytes that are not UTF-8 were read as surrogates, which no
-- text has.)
nameOf :: FilePath -> ByteString
nameOf = encodeUtf8 . T.pack . dropExtension

-- | Whether a poem can have this name, which then is no path.
isName :: ByteString -> Bool
isName name = not (B.null name) && B.length name <= 255 && either (const False) (T.all fits) (decodeUtf8' name)
  where
    fits letter = not (isControl letter) && letter `notElem` ("./\\" :: String)
