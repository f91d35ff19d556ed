-- | What a server counts (S23). All counts are in one variable, so that a transaction changes some of them together, and no
-- other thread ever sees the state between. What is open or in flight is not counted but is what has not ended.
module Counts (Count (..), End (..), FetchEnd (..), Refusal (..), Counts, newCounts, note, asJson) where

import Control.Concurrent.STM
import Data.Char (isUpper, toLower)
import Data.Foldable (foldl')
import Data.List (intercalate)
import qualified Data.Map.Strict as Map

data Count
  = Accepted
  | Closed End
  | Requests
  | Answered
  | Refused Refusal
  | Failed
  | BytesIn
  | BytesOut
  | Begun
  | Fetched FetchEnd
  deriving (Eq, Ord)

-- | Why a connection was closed.
data End = Done | RefusedOne | Reset | IdleTooLong | DeadlineOver | WriteTimeout | WasCut | Panic | HasLeft | UpstreamFailed
  deriving (Eq, Ord, Enum, Bounded)

-- | How a proxy's fetch ended (S9).
data FetchEnd = Cached | FetchFailed | Cancelled
  deriving (Eq, Ord, Enum, Bounded)

-- | Why a request was refused (S4).
data Refusal
  = NoDot
  | UnknownTransform
  | NotUtf8
  | TransformFailed
  | ReplyTooLong
  | Framing
  | Truncated
  | UnknownPoem
  | BadPoemName
  deriving (Eq, Ord, Enum, Bounded, Show)

type Counts = TVar (Map.Map Count Int)

newCounts :: IO Counts
newCounts = newTVarIO Map.empty

note :: Counts -> [(Count, Int)] -> STM ()
note counts changes = modifyTVar' counts (\before -> foldl' (\so (count, n) -> Map.insertWith (+) count n so) before changes)

-- | The counts as a line of JSON.
asJson :: Map.Map Count Int -> String
asJson counts =
  object
    [ ("accepted", of' Accepted)
    , ("open", show (count Accepted - total closed))
    , ("closed", object (zip (words ends) (shown closed)))
    , ("requests", of' Requests)
    , ("answered", of' Answered)
    , ("refused", object (zip (map (snake . show) [NoDot ..]) (shown refused)))
    , ("failed", of' Failed)
    , ("in_flight", show (count Requests - count Answered - total refused - count Failed))
    , ("bytes_in", of' BytesIn)
    , ("bytes_out", of' BytesOut)
    , ("fetches", object (("begun", of' Begun) : zip (words fates) (shown fetched) <> [("under_way", underWay)]))
    ]
  where
    ends = "done refused reset idle deadline write cut panic left upstream"
    count which = Map.findWithDefault 0 which counts
    of' = show . count
    total = sum . map count
    shown = map of'
    closed = map Closed [minBound ..]
    refused = map Refused [minBound ..]
    fates = "cached failed cancelled"
    underWay = show (count Begun - total fetched)
    fetched = map Fetched [minBound ..]
    object fields = "{" <> intercalate "," [show name <> ":" <> value | (name, value) <- fields] <> "}"
    snake name = drop 1 (concatMap (\letter -> if isUpper letter then ['_', toLower letter] else [letter]) name)
