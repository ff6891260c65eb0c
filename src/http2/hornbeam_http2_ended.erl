%%% How streams have ended of late (RFC 9113, 5.1): what still comes of one was on its way when it was reset, or should not have been sent.
%%%
%%% Called by: hornbeam_http2_streams. Calls nothing. Pure. The last ?REMEMBERED are known, and twice as many at most: in two
%%% generations, of which the older is forgotten as a whole.
-module(hornbeam_http2_ended).

-export([new/0, add/3, how/2]).
-export_type([ended/0, how/0]).

-define(REMEMBERED, 64).

%% Reset from here, so that more may be on its way; or for both sides.
-type how() :: reset | ended.
-opaque ended() :: {New :: #{pos_integer() => how()}, Old :: #{pos_integer() => how()}}.

-spec new() -> ended().
new() -> {#{}, #{}}.

-spec add(pos_integer(), how(), ended()) -> ended().
add(Id, How, {New, _Old}) when map_size(New) >= ?REMEMBERED -> {#{Id => How}, New};
add(Id, How, {New, Old}) -> {New#{Id => How}, Old}.

-spec how(pos_integer(), ended()) -> how() | forgotten.
how(Id, {New, Old}) ->
    case {New, Old} of
        {#{Id := How}, _} -> How;
        {_, #{Id := How}} -> How;
        _ -> forgotten
    end.
