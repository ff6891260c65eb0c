%%% Whether a key of a state begins with a prefix: one of the same kind, a text with a text, bytes with bytes.
%%%
%%% Called by: hornbeam_state (the node's keys), hornbeam_cluster_kv (the cluster's). Calls: nothing. Pure.
-module(hornbeam_prefix).

-export([has/2]).
-export_type([prefix/0]).

-type prefix() :: none | binary() | {bytes, binary()}.

%% @doc Every key has the prefix `none'.
-spec has(Key :: term(), prefix()) -> boolean().
has(_Key, none) -> true;
has({bytes, Key}, {bytes, Prefix}) -> has(Key, Prefix);
has(Key, Prefix) when is_binary(Key), is_binary(Prefix) ->
    Size = byte_size(Prefix),
    case Key of
        <<Prefix:Size/binary, _/binary>> -> true;
        _ -> false
    end;
has(_Key, _Prefix) -> false.
