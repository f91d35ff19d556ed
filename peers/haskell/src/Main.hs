{-# LANGUAGE CPP #-}

-- | The command line: the words of @quatrain serve@ and @quatrain fetch@.
module Main (main) where

import Control.Exception (catch, try)
import Control.Monad (unless, when)
import qualified Data.ByteString as B
import Data.Text.Encoding (decodeUtf8')
import Data.Version (showVersion)
import GHC.IO.Exception (IOErrorType (ResourceVanished), IOException (ioe_type))
import GHC.IO.Encoding (mkTextEncoding, setFileSystemEncoding, setLocaleEncoding)
import LibraryServer (serveLibrary)
import Log (flush, openLog)
import Options
import Peer (parsePeer)
import PoemClient (fetch)
import PoemServer (servePoem)
import Proxy (serveProxy)
import Shared (shownError)
import System.Environment (getArgs)
import System.Exit (ExitCode (..), exitWith)
import System.Info (compilerName, fullCompilerVersion)
import System.IO (BufferMode (LineBuffering), hSetBuffering, stderr)
import TransformServer (serveTransforms)

main :: IO ()
main = do
  -- Whatever the locale is, names of files and poems are UTF-8; other bytes survive in disguise.
  utf8 <- mkTextEncoding "UTF-8//ROUNDTRIP"
  setFileSystemEncoding utf8
  setLocaleEncoding utf8
  hSetBuffering stderr LineBuffering
  (opened, say) <- openLog
  status <- (getArgs >>= run say) `catch` unwritten say
  flush opened
  exitWith status

-- | A reader that closes our stdout ends the program quietly, as in @quatrain-haskell fetch 10001 | head@.
unwritten :: (String -> IO ()) -> IOException -> IO ExitCode
unwritten say problem = do
  unless (ioe_type problem == ResourceVanished) $ say ("quatrain-haskell: " <> shownError problem)
  pure (ExitFailure 1)

run :: (String -> IO ()) -> [String] -> IO ExitCode
run say arguments = case arguments of
  "serve" : "poem" : rest -> do
    (options, files) <- parse (["num-bytes", "delay", "fast"] <> common) rest
    path <- single "FILE" files
    read' <- try (B.readFile path)
    poem <- either (usageError . (("cannot read " <> path <> ": ") <>) . shownError) pure read'
    when (either (const True) (const False) (decodeUtf8' poem)) $ usageError (path <> " is not UTF-8")
    servePoem options path poem say
  "serve" : "transform" : rest -> do
    (options, words') <- parse ("lab" : framed <> common) rest
    none words'
    serveTransforms options say
  "serve" : "library" : rest -> do
    (options, words') <- parse (framed <> common) rest
    directory <- single "DIR" words'
    serveLibrary options directory say
  "serve" : "proxy" : rest -> do
    (options, words') <- parse ("cache-ttl" : fetched <> common) rest
    upstream <- single "ADDR" words' >>= address
    serveProxy options upstream say
  "fetch" : rest -> do
    (options, words') <- parse ("transform" : "via" : fetched) rest
    peers <- mapM address words'
    when (null peers) $ usageError "give the address of a poem, [host:]port"
    asked <- mapM address (via options)
    case (asked, transformName options) of
      (Just server', Just name) -> fetch (client options) say (Just (server', name)) peers
      (Nothing, Nothing) -> fetch (client options) say Nothing peers
      _ -> usageError "--transform and --via need each other"
  ["--version"] -> do
    let compiler = compilerName <> " " <> showVersion fullCompilerVersion
    ExitSuccess <$ putStrLn ("quatrain-haskell with " <> compiler <> ", network " <> VERSION_network)
  words' | any (`elem` ["--help", "-h", "help"]) words' || null words' -> ExitSuccess <$ putStr usage
  _ -> usageError ("unknown words: " <> unwords (take 2 arguments) <> "; see quatrain-haskell --help")
  where
    common = ["iface", "port", "threads", "connections-max", "write-timeout", "grace", "stats"]
    framed = ["keep-alive", "idle-timeout", "deadline", "frame-bytes-max"]
    fetched = ["connect-timeout", "idle-timeout", "deadline", "poem-bytes-max"]
    single what words' = case words' of
      [word] -> pure word
      _ -> usageError ("give one " <> what)
    none words' = when (not (null words')) $ usageError ("unexpected argument '" <> head words' <> "'")
    address word = maybe (usageError ("invalid address '" <> word <> "': write [host:]port")) pure (parsePeer word)

usage :: String
usage =
  unlines
    [ "quatrain-haskell serve poem FILE [--num-bytes N --delay S | --fast]"
    , "quatrain-haskell serve transform [--keep-alive] [--lab]"
    , "quatrain-haskell serve library DIR [--keep-alive]"
    , "quatrain-haskell serve proxy ADDR [--cache-ttl S]"
    , "quatrain-haskell fetch ADDR... [--transform NAME --via ADDR]"
    , ""
    , "Servers: --iface ADDRESS --port N --threads N --connections-max N --write-timeout S --grace S --stats FILE"
    , "Fetches, also a proxy's: --connect-timeout S --idle-timeout S --deadline S --poem-bytes-max N"
    , "Requests: --idle-timeout S --deadline S --frame-bytes-max N"
    , "The words mean what they mean to quatrain; see quatrain serve --help."
    ]
