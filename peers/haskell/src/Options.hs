-- | The words of the command line, which are those of @quatrain@.
module Options (Options (..), ClientOptions (..), ServerOptions (..), parse, usageError) where

import Data.Foldable (foldl')
import System.Console.GetOpt
import System.Exit (ExitCode (ExitFailure), exitWith)
import System.IO (hPutStrLn, stderr)
import Text.Read (readMaybe)

-- | What every program may be told; each reads its own part. Times are seconds.
data Options = Options
  { server :: ServerOptions
  , numBytes :: Int
  , delay :: Double
  , fast :: Bool
  , withLab :: Bool
  , transformName :: Maybe String
  , via :: Maybe String
  , cacheTtl :: Maybe Double
  , client :: ClientOptions
  }

-- | The limits of a fetch (S15), by a client or by a proxy.
data ClientOptions = ClientOptions
  { connectTimeout :: Double
  , silenceMax :: Double
  , totalDeadline :: Maybe Double
  , poemBytesMax :: Int
  }

-- | What all servers share.
data ServerOptions = ServerOptions
  { iface :: String
  , port :: Int
  , threads :: Int
  , connectionsMax :: Int
  , writeTimeout :: Double
  , grace :: Double
  , keepAlive :: Bool
  , idleTimeout :: Double
  , deadline :: Double
  , frameBytesMax :: Int
  , stats :: Maybe FilePath
  }

defaults :: Options
defaults = Options ofServers 10 0.7 False False Nothing Nothing Nothing (ClientOptions 10 60 Nothing 67108864)
  where
    ofServers = ServerOptions "127.0.0.1" 0 1 10000 30 10 False 60 30 99999 Nothing

type Change = Options -> Either String Options

-- | Reads the options of one program out of its words: those that it takes, and those that remain.
parse :: [String] -> [String] -> IO (Options, [String])
parse taken arguments = case getOpt Permute (filter named options) arguments of
  (changes, words', []) -> either usageError (\set -> pure (set, words')) (foldl' (>>=) (Right defaults) changes)
  (_, _, problem : _) -> usageError (takeWhile (/= '\n') problem)
  where
    named (Option _ names _ _) = any (`elem` taken) names

options :: [OptDescr Change]
options =
  [ number "num-bytes" "N" positive $ \n o -> o {numBytes = n}
  , time "delay" $ \s o -> o {delay = s}
  , switch "fast" $ \o -> o {fast = True}
  , switch "lab" $ \o -> o {withLab = True}
  , text "transform" "NAME" $ \name o -> Right o {transformName = Just name}
  , text "via" "ADDR" $ \address o -> Right o {via = Just address}
  , text "stats" "FILE" $ \file -> ofServer (\s -> s {stats = Just file})
  , text "iface" "ADDRESS" $ \address -> ofServer (\s -> s {iface = address})
  , number "port" "PORT" (\n -> n >= 0 && n < 65536) $ \n -> inServer (\s -> s {port = n})
  , number "threads" "N" (\n -> n > 0 && n <= 256) $ \n -> inServer (\s -> s {threads = n})
  , number "connections-max" "N" positive $ \n -> inServer (\s -> s {connectionsMax = n})
  , number "frame-bytes-max" "N" positive $ \n -> inServer (\s -> s {frameBytesMax = n})
  , switch "keep-alive" $ inServer (\s -> s {keepAlive = True})
  , time "write-timeout" $ \t -> inServer (\s -> s {writeTimeout = t})
  , time "grace" $ \t -> inServer (\s -> s {grace = t})
  , -- These two are about requests in a server, and about fetches in a client or proxy.
    time "idle-timeout" $ \t -> inClient (\c -> c {silenceMax = t}) . inServer (\s -> s {idleTimeout = t})
  , time "deadline" $ \t -> inClient (\c -> c {totalDeadline = Just t}) . inServer (\s -> s {deadline = t})
  , time "connect-timeout" $ \t -> inClient (\c -> c {connectTimeout = t})
  , number "poem-bytes-max" "N" positive $ \n -> inClient (\c -> c {poemBytesMax = n})
  , time "cache-ttl" $ \t o -> o {cacheTtl = Just t}
  ]
  where
    positive n = n > 0 && n <= 1000000000
    inServer change o = o {server = change (server o)}
    inClient change o = o {client = change (client o)}
    ofServer change = Right . inServer change
    switch name change = Option [] [name] (NoArg (Right . change)) ""
    text name kind change = Option [] [name] (ReqArg change kind) ""
    number name kind ok change = text name kind $ \word o -> case readMaybe word of
      Just n | ok n -> Right (change (n :: Int) o)
      _ -> invalid name word "a number in its range"
    time name change = text name "S" $ \word o -> case seconds word of
      Just s -> Right (change s o)
      Nothing -> invalid name word "a time, such as 0.7, 700ms or 2s"
    invalid name word wanted = Left ("invalid value '" <> word <> "' for '--" <> name <> "': give " <> wanted)

-- | Reads 0.7, 700ms, 2s or 1m, up to a day.
seconds :: String -> Maybe Double
seconds word = do
  factor <- lookup unit [("", 1), ("s", 1), ("ms", 0.001), ("m", 60)]
  value <- readMaybe (if take 1 digits == "." then '0' : digits else digits)
  if value * factor <= 86400 then Just (value * factor) else Nothing
  where
    (digits, unit) = span (`elem` "0123456789.") word

-- | Ends the program as wrong usage does, with one line and status 2.
usageError :: String -> IO a
usageError problem = hPutStrLn stderr ("quatrain-haskell: " <> problem) >> exitWith (ExitFailure 2)
